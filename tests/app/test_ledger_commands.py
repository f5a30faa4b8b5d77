"""The read commands over a replayed account: rows, filters, identity, exports, audit, checks."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.app.said import Command


def test_trades_fills_orders_and_decisions_tell_one_story(ask: Command) -> None:
    trades = ask("trades").document["trades"]
    fills = ask("fills").document["fills"]
    orders = ask("orders").document["orders"]
    assert len(trades) > 0
    assert sum(f["fee"] for f in fills) == pytest.approx(sum(t["fees"] for t in trades), abs=5.0)
    entries = [f for f in fills if f["purpose"] == "entry"]
    assert {t["plan_id"] for t in trades} <= {f["plan_id"] for f in entries}
    assert {f["plan_id"] for f in fills} <= {o["plan_id"] for o in orders}
    sent = [d for d in ask("decisions", "--limit", 2000).document["decisions"] if d["action"] in ("long", "short")]
    assert {t["plan_id"] for t in trades} <= {d["plan_id"] for d in sent}


def test_one_decision_shows_every_gate_with_value_limit_and_verdict(ask: Command) -> None:
    decisions = ask("decisions", "--limit", 2000).document["decisions"]
    planned = next(d for d in decisions if d["plan_id"])
    shown = ask("decisions", "--id", planned["id"]).document["decision"]
    assert shown["hash"] == planned["hash"]
    assert len(shown["gates"]) >= 13
    assert {g["verdict"] for g in shown["gates"]} <= {"passed", "blocked", "not measured"}
    quiet = next(d for d in decisions if not d["plan_id"])
    assert ask("decisions", "--id", quiet["id"]).document["decision"]["gates"] == []
    assert quiet["why"]


def test_limit_keeps_the_newest_rows_and_the_span_is_half_open(ask: Command) -> None:
    every = ask("decisions", "--limit", 2000).document
    newest = ask("decisions", "--limit", 5).document
    assert newest["decisions"] == every["decisions"][-5:]
    assert newest["more"]
    assert not every["more"]
    day = ask("decisions", "--from", "2024-05-10", "--to", "2024-05-11", "--limit", 100).document["decisions"]
    assert (len(day), day[0]["bar"]) == (24, "2024-05-10T00:00:00.000Z")
    assert "does not trade" in ask("trades", "--symbol", "ETHUSDT").document["error"]


def test_performance_agrees_with_the_trades(ask: Command) -> None:
    row = ask("performance").document["performance"][0]
    trades = ask("trades").document["trades"]
    assert row["trades"] == len(trades) == row["metrics"]["trades"]
    assert row["pnl"] == pytest.approx(sum(t["pnl"] for t in trades))
    assert row["equity_end"] == pytest.approx(row["equity_start"] + row["pnl"], abs=60.0)  # an open position moves it


def test_positions_are_what_the_fills_leave_open(ask: Command) -> None:
    held = ask("positions").document["positions"]
    fills = ask("fills").document["fills"]
    signed = sum(f["qty"] if f["side"] == "buy" else -f["qty"] for f in fills)
    assert sum(p["qty"] if p["side"] == "long" else -p["qty"] for p in held) == pytest.approx(signed)
    assert all(p["protected"] for p in held)


def test_the_ledger_reconciles_and_the_chain_is_whole(ask: Command) -> None:
    assert ask("reconcile", "--check").document["differences"] == []
    verified = ask("audit", "verify", "--check")
    assert verified.code == 0
    assert verified.document["ok"]
    assert verified.document["first_bad"] is None
    assert ask("audit", "verify", "--head", verified.document["head"]).document["ok"]
    foreign = ask("audit", "verify", "--head", "ab" * 32)
    assert (foreign.code, foreign.document["ok"]) == (0, False)
    assert ask("audit", "verify", "--head", "ab" * 32, "--check").code == 1


def test_an_export_has_the_rows_of_the_table(ask: Command, tmp_path: Path) -> None:
    trades = ask("trades").document["trades"]
    assert ask("export", "trades", "--to", tmp_path / "trades.csv").document["rows"] == len(trades)
    with (tmp_path / "trades.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(r["pnl"]) for r in rows] == [t["pnl"] for t in trades]
    import pyarrow.parquet as pq

    assert ask("export", "fills", "--to", tmp_path / "fills.parquet").code == 0
    assert pq.read_table(tmp_path / "fills.parquet").num_rows == len(ask("fills").document["fills"])


def test_read_commands_on_an_empty_home_give_empty_lists(command: Command) -> None:
    for table in ("trades", "orders", "fills", "positions", "decisions", "performance"):
        assert command(table).document[table] == []
    assert command("models", "list").document == {"models": []}
    assert command("reconcile").document["differences"] == []
    assert command("audit", "verify").document["ok"]


def test_doctor_names_every_check(command: Command) -> None:
    checks = {c["name"]: c for c in command("doctor").document["checks"]}
    assert set(checks) == {
        "installation", "keychain", "clock", "disk", "database", "chunk cache", "kernel cache"
    }  # fmt: skip
    assert checks["database"]["ok"]
    assert checks["chunk cache"]["ok"]


def test_a_person_reads_tables_not_json(market_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from app.main import main

    for line in ("trades", "fills", "orders", "decisions", "positions", "performance", "quality", "settings", "doctor"):
        capfd.readouterr()
        assert main(["--home", str(market_home), line]) == 0
        captured = capfd.readouterr()
        assert captured.out.strip()
        assert not captured.out.lstrip().startswith("{")
