"""Damaged model files and trainings that hang or die: the run says so and goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.service.running import running

pytestmark = pytest.mark.workers
BTC = "BTC/USDT:USDT"
REPLAY = {
    "symbols": (BTC,), "timeframe": "15m", "source": "replay", "replay": (1708387200000, 1710547200000),
}  # fmt: skip
Damage = Callable[[Path], None]


@pytest.fixture(autouse=True)
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run trains nothing by itself unless the test says so; one linear member."""
    monkeypatch.setenv("QUANTAI_AI__MEMBERS", '["logistic"]')
    monkeypatch.setenv("QUANTAI_AI__ENABLE_TRAINING", "false")


@pytest.fixture(scope="module")
def modelled(market: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A home with two models that were promoted one after the other, both trained before the replay's span."""
    from ai.ensemble import PLAIN
    from ai.models.registry import model_id_of, record_of
    from ai.training import training_data
    from app.retraining import Candidate, RetrainRequest, _fit, register
    from app.wiring import Workplace
    from data.market import SeriesKey

    home = Path(shutil.copytree(market, tmp_path_factory.mktemp("modelled") / "home"))
    key = SeriesKey("binanceusdm", BTC, "15m", "ohlcv", "synthetic")
    ids = []
    with Workplace.opened(home) as place:
        for until in (1707523200000, 1708300800000):
            frame = place.database.candles.tail(key, 3500, until)
            funding = place.database.candles.read_funding(key.exchange, key.symbol, key.source, 0, until)
            request = RetrainRequest(str(home), key, until, 3500, "swing", ("logistic",), 7, 0.15, None, until)
            data = training_data(frame, funding, "swing", None, 0.15)
            model = _fit(lambda *_: None, data, len(frame), request, PLAIN, 3)
            model_id = model_id_of(model, until)
            model.save(place.home.models / model_id)
            record = record_of(model, model_id, place.home.models / model_id, until, (1.0, 1.1, 0.55))
            found = Candidate(record, model.schema.digest, model.members, 7, 500, None, True, "for the test",
                              audit={"passed": True, "digest": model.digest, "sentence": "no leak"})  # fmt: skip
            ids.append(register(place.database, place.home, key, found).model_id)
    return home, ids


@pytest.fixture
def home(modelled: tuple[Path, list[str]], tmp_path: Path) -> Path:
    return Path(shutil.copytree(modelled[0], tmp_path / "home"))


def truncate(folder: Path) -> None:
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def change_a_byte(folder: Path) -> None:
    file = max(folder.iterdir(), key=lambda f: f.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def no_text(folder: Path) -> None:
    for file in folder.iterdir():
        file.write_bytes(b"\xff\xfe\x00" * 10)


def switches(home: Path) -> list[str]:
    from database.home import Home

    with Home(home).open_reader() as database:
        account = database.accounts.newest()
        assert account is not None
        return [s.model_id for s in database.trading.switches(account.id)]


def decided_by(home: Path) -> set[int]:
    from database.home import Home

    with Home(home).open_reader() as database:
        account = database.accounts.newest()
        assert account is not None
        return {int(row["model"]) for row in database.trading.decisions(account.id).rows}


async def test_the_promoted_model_decides(home, modelled):
    async with running(home, strategy="ensemble", bars=50, **REPLAY) as run:
        await run.document()
    assert switches(home) == [modelled[1][1]]
    assert decided_by(home) == {0}


@pytest.mark.parametrize("damage", [truncate, change_a_byte, remove, no_text])
async def test_f40_the_one_promoted_before_takes_over_from_damaged_files(home, modelled, damage: Damage):
    former, present = modelled[1]
    damage(home / "models" / present)
    async with running(home, strategy="ensemble", bars=50, **REPLAY) as run:
        await run.document()
    assert run.notices.count(f"Model {present} cannot be used") == 1
    assert switches(home) == [former]
    assert decided_by(home) == {0}


@pytest.mark.parametrize(("strategy", "trades"), [("auto", True), ("ensemble", False)])
async def test_f40_without_a_sound_model_the_rule_trades_or_the_ensemble_abstains(home, modelled, strategy, trades):
    for model in modelled[1]:
        truncate(home / "models" / model)
    async with running(home, strategy=strategy, **REPLAY) as run:
        document = await run.document()
    assert document["state"] == "FINISHED"
    assert sum(title.endswith("cannot be used") for title in run.notices) == 2
    assert switches(home) == []
    assert bool(document["trades"]) is trades


async def test_f40_files_damaged_between_two_runs(home, modelled):
    former, present = modelled[1]
    async with running(home, strategy="ensemble", bars=50, **REPLAY) as run:
        await run.document()
    truncate(home / "models" / present)
    async with running(home, strategy="ensemble", bars=50, **REPLAY) as run:
        document = await run.document()
    assert document["bars"] == 100
    assert f"Model {present} cannot be used" in run.notices
    assert switches(home) == [present, former]
    assert decided_by(home) == {0, 1}, "a stored decision's number names another model"


async def test_f41_a_training_that_hangs_is_ended_and_trading_goes_on(home, monkeypatch):
    monkeypatch.setenv("QUANTAI_AI__TRAINING_TIME_LIMIT_S", "1")
    monkeypatch.setattr("app.model_switching.WORKER", "tests.app.service.job_samples:hang_in_training")
    await trades_without_new_model(home, monkeypatch, "took longer than 1 second")


async def test_f41_a_training_that_dies_is_said_and_trading_goes_on(home, monkeypatch):
    monkeypatch.setattr("app.model_switching.WORKER", "tests.app.service.job_samples:die_in_training")
    await trades_without_new_model(home, monkeypatch, "exit code 9")


async def trades_without_new_model(home: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    monkeypatch.setenv("QUANTAI_AI__ENABLE_TRAINING", "true")
    monkeypatch.setenv("QUANTAI_AI__MODEL_RETRAIN_EVERY_N_STEPS", "200")
    async with running(home, strategy="auto", bars=300, **REPLAY) as run:
        document = await run.document()
    assert document["bars"] == 300
    said = [e.sentence for e in run.told if getattr(e, "title", "") == "No new model"]
    assert len(said) == 1 and words in said[0], said
    assert len(switches(home)) == 1
