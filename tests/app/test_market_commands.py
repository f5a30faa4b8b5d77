"""Market data on the command line: files, the synthetic market, the report, and every wrong input in one sentence."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from app.main import main as command_line
from data.market import BarMark, SeriesKey
from database.home import Home
from tests.app.said import Command

REPORT = {"rows", "inserted", "revised", "duplicates", "rejected", "rejections", "gaps", "gap_list", "span"}
HOUR = 3_600_000
START = 1_704_067_200_000


def write_csv(path: Path, bars: int, gap_at: int = -1, header: str = "open_time,open,high,low,close,volume") -> Path:
    lines = [header] if header else []
    for k in range(bars):
        if k == gap_at:
            continue
        price = 40_000 + 10 * k
        lines.append(f"{START + k * HOUR},{price},{price + 30},{price - 30},{price + 5},{12.5 + k % 7}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_import_reports_and_a_second_one_finds_everything_there(command: Command, tmp_path: Path) -> None:
    file = write_csv(tmp_path / "bars.csv", 60, gap_at=20)
    tried = command("import", file, "--symbol", "BTCUSDT", "--timeframe", "1h", "--dry-run")
    assert set(tried.document) >= REPORT
    assert command("quality").document == {"series": []}
    first = command("import", file, "--symbol", "BTCUSDT", "--timeframe", "1h")
    assert (first.code, first.document["inserted"], first.document["gaps"]) == (0, 59, 1)
    assert first.document["span"] == {"from": "2024-01-01T00:00:00.000Z", "to": "2024-01-03T12:00:00.000Z"}
    again = command("import", file, "--symbol", "BTC/USDT:USDT", "--timeframe", "1h")
    assert (again.document["inserted"], again.document["duplicates"]) == (0, 59)


def test_quality_names_the_gap_and_repair_invents_nothing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTAI_DATA__BASE_URL", "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setenv("QUANTAI_DATA__REQUEST_ATTEMPTS", "1")
    command("import", write_csv(tmp_path / "bars.csv", 60, gap_at=20), "--symbol", "BTCUSDT", "--timeframe", "1h")
    series = command("quality", "--symbol", "BTCUSDT", "--timeframe", "1h").document["series"][0]
    (finding,) = series["findings"]
    assert set(finding) == {"kind", "from", "to", "bars", "level", "words"}
    assert (finding["kind"], finding["level"], finding["from"]) == ("gap", "bad", "2024-01-01T20:00:00.000Z")
    assert finding["words"].startswith("2024-01-01 20:00: 1 bar missing;")
    tried = command("quality", "--repair").document["series"][0]
    assert (tried["repaired"], tried["unrepaired"], tried["rows"]) == (0, 1, 59)
    assert "1 bar stays missing" in tried["repairs"][0]["words"]


def test_repair_makes_a_missing_hour_of_stored_quarters_when_nobody_answers(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUANTAI_DATA__BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("QUANTAI_DATA__REQUEST_ATTEMPTS", "1")
    fine = [
        f"{START + k * HOUR // 4},{40_000 + 2.5 * (k % 4) + 10 * (k // 4)},{40_030 + 10 * (k // 4)},"
        f"{39_970 + 10 * (k // 4)},{40_002.5 + 2.5 * (k % 4) + 10 * (k // 4)},{(12.5 + k // 4 % 7) / 4}"
        for k in range(240)
    ]
    quarters = tmp_path / "quarters.csv"
    quarters.write_text("open_time,open,high,low,close,volume\n" + "\n".join(fine) + "\n")
    command("import", write_csv(tmp_path / "bars.csv", 60, gap_at=20), "--symbol", "BTCUSDT", "--timeframe", "1h")
    command("import", quarters, "--symbol", "BTCUSDT", "--timeframe", "15m")
    series = command("quality", "--symbol", "BTCUSDT", "--timeframe", "1h", "--repair").document["series"][0]
    assert (series["repaired"], series["unrepaired"], series["rows"]) == (1, 0, 60)
    assert "made of 15m bars" in series["repairs"][0]["words"]
    assert "gap" not in [f["kind"] for f in series["findings"]]
    with Home(home).open() as database:
        key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")
        stored = database.candles.read(key)
        then = database.candles.read(key, as_of_ms=int(stored.known_at[20]) - 1)
    assert np.flatnonzero(stored.mark == BarMark.REPAIRED).tolist() == [20]
    assert stored.known_at[20] > stored.open_time[20] + HOUR  # known from the repair, not from its close
    assert (len(stored), len(then)) == (60, 59)
    capfd.readouterr()
    command_line(["--home", str(home), "quality", "--timeframe", "15m"])
    assert "BTC/USDT:USDT" in capfd.readouterr().out


def test_the_report_names_findings_in_words_by_series_and_time(
    command: Command, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command("import", write_csv(tmp_path / "bars.csv", 60, gap_at=20), "--symbol", "BTCUSDT", "--timeframe", "1h")
    capfd.readouterr()
    assert command_line(["--home", str(home), "quality"]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "BTC/USDT:USDT 1h ohlcv: bad gap, 2024-01-01 20:00: 1 bar missing;" in said


def test_the_synthetic_command_gives_the_same_bars_for_the_same_seed(command: Command) -> None:
    line = ("synthetic", "--symbol", "ETHUSDT", "--timeframe", "15m", "--bars", 300, "--seed", 5)
    first = command(*line).document
    assert set(first) >= REPORT
    assert first["inserted"] == 300
    assert command(*line).document["duplicates"] == 300
    other = command(*line[:-1], 6).document
    assert other["revised"] > 290


@pytest.mark.parametrize(
    ("name", "content", "options", "part"),
    [
        ("nowhere.csv", None, [], "nowhere.csv"),
        ("empty.csv", "", [], "empty.csv"),
        ("words.csv", "a,b,c\n1,2,3\n", [], "words.csv"),
        ("image.png", "not data", [], "image.png"),
        ("bars.csv", "ok", ["--timeframe", "7m"], "Unknown timeframe '7m'"),
        ("bars.csv", "ok", ["--timeframe", "15m"], "15m"),
        ("bars.csv", "ok", ["--kind", "gossip"], "Unknown kind 'gossip'"),
        ("bars.csv", "ok", ["--unit", "weeks"], "Unknown unit 'weeks'"),
        ("bars.csv", "ok", ["--tz", "Mars/Olympus"], "Mars/Olympus"),
    ],
)
def test_a_wrong_file_or_option_is_one_sentence(
    command: Command, tmp_path: Path, name: str, content: str | None, options: list[str], part: str
) -> None:
    file = tmp_path / name
    if content == "ok":
        write_csv(file, 40)
    elif content is not None:
        file.write_text(content)
    said = command("import", file, "--symbol", "BTCUSDT", *options)
    assert said.code == 1
    assert part in said.document["error"]
    assert said.stderr.count("\n") == 1
    assert command("quality").document == {"series": []}


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (["import", "x.csv", "--symbol", "BTC-PERP"], "Unknown symbol 'BTC-PERP'"),
        (["synthetic", "--symbol", "???", "--timeframe", "1h", "--bars", "10"], "Unknown symbol"),
        (["synthetic", "--symbol", "BTCUSDT", "--timeframe", "2h", "--bars", "10"], "Unknown timeframe '2h'"),
        (["quality", "--symbol", "BTCUSDT"], "No stored series fits"),
        (["download", "--symbol", "BTCUSDT", "--timeframe", "1h", "--since", "yesterday"], "'yesterday' is no date"),
        (["download", "--symbol", "BTCUSDT", "--timeframe", "1h", "--since", "2999"], "lies in the future"),
        (["download", "--symbol", "BTCUSDT", "--timeframe", "1h", "--since", "2024", "--kind", "book"], "'book'"),
        (["backtest", "--symbols", "DOGEUSDT", "--timeframe", "1h"], "No bars of DOGEUSDT 1h"),
        (["walk-forward", "--symbol", "DOGEUSDT", "--timeframe", "1h"], "No bars of DOGEUSDT 1h"),
        (["train", "--symbol", "DOGEUSDT", "--timeframe", "1h", "--from", "2024", "--to", "2023"], "is not after"),
        (["export", "trades", "--to", "trades.docx"], "csv"),
        (["export", "treasure", "--to", "x.csv"], "There is no table 'treasure'"),
        (["models", "promote", "nobody"], "There is no model 'nobody'"),
        (["strategy", "show", "alchemy"], "Unknown strategy 'alchemy'"),
        (["strategy", "check", "missing.toml"], "missing.toml"),
        (["decisions", "--id", "77"], "There is no decision 77"),
        (["trades", "--account", "9"], "There is no account 9"),
        (["trades", "--account", "mine"], "'mine' is no account"),
        (["status"], "No service is running"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_each_wrong_input_is_one_sentence(command: Command, line: list[str], part: str) -> None:
    said = command(*line)
    assert said.code == 1
    assert part in said.document["error"]
    assert said.stderr.strip().count("\n") == 0


def test_a_full_database_is_one_sentence_and_changes_nothing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from database.connection import Database

    file = write_csv(tmp_path / "bars.csv", 4000)
    assert command("quality").code == 0
    original = Database._open_writer

    def small(self: Database) -> sqlite3.Connection:
        connection = original(self)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")
        return connection

    monkeypatch.setattr(Database, "_open_writer", small)
    said = command("import", file, "--symbol", "BTCUSDT", "--timeframe", "1h")
    assert said.code == 1
    assert "full" in said.document["error"]
    monkeypatch.undo()
    assert command("quality", "--json").document == {"series": []}


def test_two_sources_of_a_series_are_told_apart_by_an_option(command: Command, tmp_path: Path) -> None:
    command("import", write_csv(tmp_path / "bars.csv", 60), "--symbol", "BTCUSDT", "--timeframe", "1h")
    command("synthetic", "--symbol", "BTCUSDT", "--timeframe", "1h", "--bars", 60)
    said = command("backtest", "--symbols", "BTCUSDT", "--timeframe", "1h")
    assert said.code == 1
    assert "choose one with --source" in said.document["error"]
