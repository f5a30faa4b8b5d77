"""Models, forecasts, settings, logs and exports."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ai.forecast import WIDTH, Abstain, Col, ModelSwitch, abstaining_row
from ai.schema import FeatureSchema
from data.clock import ManualClock
from data.errors import UserError
from data.market import Frame, SeriesKey
from database.logs import LogRow
from database.models import OVERALL, MetricRow, ModelRow
from database.repositories import Repositories
from database.settings import StorageSettings
from tests.database import ledger_story as story

KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")


PASSED = {"passed": True, "digest": "00ff", "sentence": "no leak"}


def model(name: str, created: int = 1, key: SeriesKey = KEY) -> ModelRow:
    return ModelRow(
        name, "ensemble", key, "swing", 0, 100, "abcd", {"depth": 3}, 7,
        {"auc": 0.51, "ece": float("nan"), "audit": PASSED}, "0.1.0", f"{name}/", "00ff", created,
    )  # fmt: skip


# ---- models ------------------------------------------------------------------------------------------------------


def test_a_registered_model_is_read_back(db: Repositories) -> None:
    db.models.register(model("m1"))
    found = db.models.get("m1")
    assert (found.key, found.params, found.state) == (KEY, {"depth": 3}, "candidate")
    assert found.scores == {"auc": 0.51, "ece": None, "audit": PASSED}
    with pytest.raises(UserError, match="registered already"):
        db.models.register(model("m1"))
    with pytest.raises(UserError, match="no model 'm9'"):
        db.models.get("m9")


def test_one_model_of_a_series_is_promoted_and_rollback_walks_back(db: Repositories, clock: ManualClock) -> None:
    for k, name in enumerate(("m1", "m2", "m3")):
        db.models.register(model(name, k))
    other = SeriesKey("binanceusdm", "ETH/USDT:USDT", "1h")
    db.models.register(model("other", 9, other))
    db.models.promote("other")
    assert db.models.promoted(KEY) is None
    for name in ("m1", "m2", "m3"):  # the clock stands still: their order is kept all the same
        assert db.models.promote(name).state == "promoted"
    assert {m.model_id: m.state for m in db.models.all(KEY)} == {"m1": "retired", "m2": "retired", "m3": "promoted"}
    assert db.models.rollback(KEY).model_id == "m2"
    assert db.models.rollback().model_id == "m1"
    with pytest.raises(UserError, match="no earlier"):
        db.models.rollback(KEY)
    promoted = db.models.promoted(KEY)
    assert promoted is not None and promoted.model_id == "m1"
    assert [m.model_id for m in db.models.all(state="promoted")] == ["other", "m1"]
    assert db.models.promote("m3").state == "promoted"
    assert db.audit.entries(kind="model_rolled_back")[0].body == '{"before":"m2","model_id":"m1"}'


def unaudited(name: str, **changes: object) -> ModelRow:
    return replace(model(name), scores={"auc": 0.6, "audit": changes or None})


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "has no leak audit yet"),
        ({"passed": False, "digest": "00ff", "sentence": "weights 'w' moved"}, "has not passed .*weights 'w' moved"),
        ({"passed": True, "digest": "other files", "sentence": "no leak"}, "has no leak audit yet"),
    ],
)
def test_a_model_whose_audit_has_not_passed_is_not_promoted(db: Repositories, found: dict, words: str) -> None:
    db.models.register(unaudited("m1", **found))
    with pytest.raises(UserError, match=words):
        db.models.promote("m1")
    assert db.models.get("m1").state == "candidate"
    assert db.models.store_audit("m1", PASSED).audited
    assert db.models.promote("m1").state == "promoted"
    assert [e.body for e in db.audit.entries(kind="model_audited")] == [
        '{"model_id":"m1","passed":true,"sha256":"00ff"}'
    ]


def test_a_rollback_passes_over_models_whose_audit_has_not_passed(db: Repositories) -> None:
    for k, name in enumerate(("m1", "m2", "m3")):
        db.models.register(model(name, k))
        db.models.promote(name)
    db.models.store_audit("m2", {**PASSED, "passed": False})
    assert db.models.rollback(KEY).model_id == "m1"
    db.models.promote("m3")
    db.models.store_audit("m1", {**PASSED, "passed": False})
    with pytest.raises(UserError, match="No earlier promoted model has passed its leak audit: 'models audit"):
        db.models.rollback(KEY)
    assert db.models.get("m3").state == "promoted"


def test_promoting_the_promoted_model_changes_nothing(db: Repositories, clock: ManualClock) -> None:
    db.models.register(model("m1"))
    first = db.models.promote("m1")
    clock.advance(5)
    assert db.models.promote("m1") == first


def test_metrics_are_kept_by_fold(db: Repositories) -> None:
    db.models.save_metrics([MetricRow("run", 0, "auc", 0.5), MetricRow("run", OVERALL, "auc", float("nan"))])
    db.models.save_metrics([MetricRow("run", 0, "auc", 0.6)])
    assert db.models.metrics("run") == [MetricRow("run", OVERALL, "auc", None), MetricRow("run", 0, "auc", 0.6)]
    assert db.models.metrics("run", 0) == [MetricRow("run", 0, "auc", 0.6)]


# ---- forecasts ---------------------------------------------------------------------------------------------------


def test_a_forecast_run_is_read_back_bit_for_bit(db: Repositories) -> None:
    n = 9_000
    rows = np.tile(abstaining_row(Abstain.WARMING_UP), (n, 1))
    rows[5:, Col.P_LONG] = np.random.default_rng(1).random(n - 5)
    times = 3_600_000 * np.arange(n, dtype=np.int64)
    schedule = (ModelSwitch(0, "a"), ModelSwitch(7, "b"), ModelSwitch(9, "a"))
    result = {"folds": [{"auc": float("nan")}], "overall": {"auc": 0.5}}
    info = db.forecasts.save("r1", KEY, 10, times, rows, schedule, ("xgb", "lr"), {"train": "6mo"}, result)
    assert (info.bars, info.from_ms, info.to_ms, info.model_ids) == (n, 0, int(times[-1]), ("a", "b"))
    assert info.result["folds"] == [{"auc": None}]
    run = db.forecasts.load("r1")
    assert run.rows.tobytes() == rows.tobytes() and np.array_equal(run.open_time, times)
    assert (run.info.schedule, run.info.member_names, run.info.spec) == (schedule, ("xgb", "lr"), {"train": "6mo"})


def test_the_newest_run_of_a_series_is_found_and_runs_are_replaced_whole(db: Repositories) -> None:
    none, no_rows = np.empty(0, dtype=np.int64), np.empty((0, WIDTH))
    for name, created in (("old", 1), ("new", 2)):
        db.forecasts.save(name, KEY, created, none, no_rows, (), (), {}, {})
    newest = db.forecasts.newest(KEY)
    assert newest is not None and newest.run_id == "new"
    assert db.forecasts.newest(SeriesKey("x", "BTC/USDT:USDT", "1h")) is None
    db.forecasts.save("old", KEY, 3, np.array([5]), np.zeros((1, WIDTH)), (), (), {}, {})
    assert len(db.forecasts.load("old").rows) == 1
    db.forecasts.delete("old")
    with pytest.raises(UserError, match="stored are new"):
        db.forecasts.load("old")
    with pytest.raises(UserError, match="cannot be stored"):
        db.forecasts.save("bad", KEY, 3, np.array([5]), np.zeros((2, WIDTH)), (), (), {}, {})


# ---- settings and logs -------------------------------------------------------------------------------------------


def test_changed_settings_persist_and_the_audit_says_what_they_were(db: Repositories) -> None:
    db.settings.set({"training.enable_training": True, "training.history_limit": 20_000})
    db.settings.set({"training.enable_training": False})
    assert db.settings.all() == {"training.enable_training": False, "training.history_limit": 20_000}
    entry = json.loads(db.audit.entries(kind="settings")[0].body)
    assert entry == {"before": {"training.enable_training": True}, "after": {"training.enable_training": False}}
    assert db.settings.reset("training.enable_training") and not db.settings.reset("training.enable_training")
    assert db.settings.get("training.enable_training", "default") == "default"
    assert db.audit.verify().ok


def test_storage_settings_name_their_unit_and_range() -> None:
    for name, field in StorageSettings.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict) and extra["unit"] and field.description and field.metadata, name


def test_logs_are_filtered_newest_first_and_the_oldest_go(db: Repositories) -> None:
    db.storage = StorageSettings(log_rows=1_000)
    db.logs.append([LogRow(k, 20 + 10 * (k % 2), "feed", f"Message {k}", {"k": k}) for k in range(1_500)])
    assert [r.at_ms for r in db.logs.newest(2)] == [1_499, 1_498]
    assert [r.fields["k"] for r in db.logs.newest(1, text="MESSAGE 777")] == [777]
    assert {r.level for r in db.logs.newest(level=30)} == {30}
    assert len(db.logs.newest(10_000)) == 1_000
    assert [r.at_ms for r in db.logs.newest(start_ms=700, end_ms=702)] == [701, 700]
    assert db.logs.newest(source="desk") == []


# ---- export ------------------------------------------------------------------------------------------------------


@pytest.fixture
def filled(db: Repositories, account: int) -> Repositories:
    for k in range(3):
        db.journal.commit(story.batch(k, account))
    price = np.linspace(1, 2, 100)
    db.candles.write(Frame.of(KEY, 3_600_000 * np.arange(100), price, price, price, price, price))
    db.features.save(KEY, FeatureSchema(("a", "b")), 3_600_000 * np.arange(3), np.array([[1, 2, np.nan], [4, 5, 6.0]]))
    db.models.register(model("m1"))
    return db


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_table_goes_into_both_formats(filled: Repositories, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    for table in filled.export.tables():
        rows = filled.export.write(table, tmp_path / f"{table}.csv")
        assert len(read_csv(tmp_path / f"{table}.csv")) == rows, table
        assert filled.export.write(table, tmp_path / f"{table}.parquet") == rows
        assert pq.read_metadata(tmp_path / f"{table}.parquet").num_rows == rows, table
    assert not list(tmp_path.glob(".*"))


def test_exported_trades_have_names_and_iso_times(filled: Repositories, account: int, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    filled.export.write("trades", tmp_path / "t.csv", account)
    filled.export.write("trades", tmp_path / "t.parquet")
    first = read_csv(tmp_path / "t.csv")[0]
    assert first["symbol"] == "BTC/USDT:USDT" and first["target"] == ""
    assert first["entry_time"] == "2023-11-14T22:16:00.000Z"
    assert float(first["pnl"]) == float(filled.trading.trades(account)["pnl"][0])
    table = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert table[0]["entry_time"].isoformat() == "2023-11-14T22:16:00+00:00"
    assert [row["pnl"] for row in table] == filled.trading.trades(account)["pnl"].tolist()
    assert filled.export.write("trades", tmp_path / "t.csv", account + 1) == 0


def test_exported_decisions_are_unfolded(filled: Repositories, tmp_path: Path) -> None:
    assert filled.export.write("decisions", tmp_path / "d.csv") == 30
    rows = read_csv(tmp_path / "d.csv")
    assert rows[0]["entry"] == "" and json.loads(rows[0]["gate_values"])[0] is None
    assert float(rows[1]["entry"]) == 100.0 and json.loads(rows[1]["gate_values"])[0] == 0.25
    assert rows[1]["open_time"] == "2023-11-14T22:15:00.000Z" and len(rows[1]["hash"]) == 32


def test_exported_features_are_one_row_for_each_bar_and_name(filled: Repositories, tmp_path: Path) -> None:
    filled.export.write("feature_data", tmp_path / "f.csv")
    rows = [(r["symbol"], r["open_time"][11:16], r["name"], r["value"]) for r in read_csv(tmp_path / "f.csv")]
    assert rows[2:4] == [("BTC/USDT:USDT", "02:00", "a", ""), ("BTC/USDT:USDT", "00:00", "b", "4.0")]


def test_wrong_exports_are_refused_and_leave_no_file(filled: Repositories, account: int, tmp_path: Path) -> None:
    for table, name, words in (
        ("nothing", "x.csv", "no table 'nothing': use one of accounts, audit"), ("trades", "x.xlsx", r"\.csv or"),
        ("trades", "no/x.csv", "folder that exists"), ("market_data; DROP TABLE trades", "x.csv", "no table"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            filled.export.write(table, tmp_path / name)
    with pytest.raises(UserError, match="belongs to no account"):
        filled.export.write("market_data", tmp_path / "x.csv", account)
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        filled.export.write("trades", tmp_path / "x.csv")
    assert not list(tmp_path.glob("**/.*"))


# ---- accounts ----------------------------------------------------------------------------------------------------


def test_account_option_means_newest_number_or_all(db: Repositories, account: int) -> None:
    assert [a.id for a in db.accounts.chosen(None)] == [account]
    assert [a.id for a in db.accounts.chosen(str(account))] == [a.id for a in db.accounts.chosen("ALL")]
    for text, words in (("x", "is no account"), ("77", "no account 77")):
        with pytest.raises(UserError, match=words):
            db.accounts.chosen(text)


def test_state_and_finish_survive_a_restart(db: Repositories, account: int) -> None:
    db.accounts.set_state(account, "HALTED")
    db.accounts.set_finished(account)
    found = db.accounts.get(account)
    assert (found.state, found.finished, found.symbols[1]) == ("HALTED", True, "ETH/USDT:USDT")
    assert found.symbol_name(0) == "BTC/USDT:USDT" and found.symbol_index("ETH/USDT:USDT") == 1
    assert db.accounts.find(story.KEY) == found
    with pytest.raises(UserError, match="no account 99"):
        db.accounts.set_state(99, "RUNNING")
