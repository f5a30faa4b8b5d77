#!/usr/bin/env python3
"""Pictures of every tab with real content: ``python scripts/screenshots.py --out DIR``.

Fills an empty home through the program's own commands (import, train, walk-forward, replay), opens the window offscreen
on that home, and saves each tab as ``<tab>.png``. Market data are looked for in QUANTAI_TEST_DATA (default: the folder
``shared/data`` beside this repository); without them the synthetic market is used, and the output says so.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dashboard.bridge import Bridge
    from dashboard.main_window import MainWindow

Until = Callable[[Callable[[], bool], float], bool]
ROOT = Path(__file__).resolve().parent.parent
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
TIMEFRAME = "15m"
REPLAY = "2025-01-01..2025-07-18"
REPLAY_BARS = 17_496  # up to 2 Jul 2025 06:00, in the middle of three trades
LONG_WALK_FORWARD_FROM = "2023-06-01"  # of the first symbol
WALK_FORWARD_FROM = "2024-11-01"  # its models take over in May 2025; until then the rule trades
TRAIN = ("--from", "2024-06-01", "--to", "2025-06-01")
SYNTHETIC_BARS = 12_000
BACKTESTED, BACKTESTED_FROM = ("turtle", "chandelier"), "2024-07-01"
OTHER_KINDS = (
    ("mark", Path("mark/binance_um/1h"), "BTCUSDT-*.parquet"), ("trades", Path("orderbook"), "*_trades.parquet"),
    ("book", Path("orderbook"), "*_depth_l2.parquet"),
)  # fmt: skip
SHOWN = ("RUNNING", "PAUSED", "HALTED")  # a run that its own gates have halted is a picture too


def say(words: str) -> None:
    """Progress, for whoever waits."""
    print(words, file=sys.stderr, flush=True)


def program(home: Path, *arguments: str) -> dict[str, Any]:
    """One command of the program on this home and its document; what it says is shown only if it fails."""
    command = [sys.executable, "-m", "app.main", "--home", str(home), "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise SystemExit(f"'{' '.join(arguments)}' failed with exit code {done.returncode}.")
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def newest(folder: Path, pattern: str) -> Path | None:
    """The file of this pattern that reaches furthest, by its name."""
    found = sorted(folder.glob(pattern), key=lambda path: path.stem.rpartition("_")[2])
    return found[-1] if found else None


def import_market(home: Path, data: Path) -> bool:
    """Candles and funding of every symbol into the store; whether there were any."""
    candles, funding = data / "ohlcv" / "binance_um" / TIMEFRAME, data / "funding" / "binance_um"
    found = {symbol: newest(candles, f"{symbol}-{TIMEFRAME}-*.parquet") for symbol in SYMBOLS}
    if any(path is None for path in found.values()):
        return False
    for symbol, path in found.items():
        say(f"importing {symbol} {TIMEFRAME}")
        program(home, "import", str(path), "--symbol", symbol, "--timeframe", TIMEFRAME)
        for rates in sorted(funding.glob(f"{symbol}-*.parquet")):
            program(home, "import", str(rates), "--symbol", symbol, "--kind", "funding")
    for kind, folder, pattern in OTHER_KINDS:
        path = newest(data / folder, pattern)
        if path is not None:
            program(home, "import", str(path), "--symbol", "BTCUSDT", "--kind", kind)
    hourly = newest(data / "ohlcv" / "binance_um" / "1h", "BTCUSDT-1h-*.parquet")
    if hourly is not None:
        program(home, "import", str(hourly), "--symbol", "BTCUSDT", "--timeframe", "1h")
    say("checking the data")
    program(home, "quality")
    return True


def fill(home: Path, data: Path, *, quick: bool) -> list[str]:
    """Give the home a history; the result is the window's command line."""
    symbols: tuple[str, ...] = SYMBOLS
    first = ("--symbol", SYMBOLS[0], "--timeframe", TIMEFRAME)
    if import_market(home, data):
        replay, bars = ["--replay", REPLAY], str(REPLAY_BARS)
        spans = {symbol: ["--from", WALK_FORWARD_FROM] for symbol in symbols}
        if not quick:
            spans[symbols[0]] = ["--from", LONG_WALK_FORWARD_FROM]
        train = list(TRAIN)
    else:
        say(f"no market data at {data}: these pictures show the synthetic market")
        symbols, replay, bars = SYMBOLS[:1], ["--data-source", "synthetic"], str(SYNTHETIC_BARS - 200)
        program(home, "synthetic", *first, "--bars", str(SYNTHETIC_BARS), "--seed", "7")
        spans = {symbols[0]: ["--train", "2mo", "--test", "2w", "--step", "2w"]}
        train = []
    say("training a model and promoting it")
    model = str(program(home, "train", *first, *train)["model_id"])
    program(home, "models", "promote", model)
    for symbol in reversed(symbols):  # the first symbol's result is the newest: Models shows it
        say(f"walk-forward of {symbol}: training and scoring out of sample")
        program(home, "walk-forward", "--symbol", symbol, "--timeframe", TIMEFRAME, *spans[symbol])
    run = ["--source", "replay", *replay, "--symbols", ",".join(symbols), "--timeframe", TIMEFRAME,
           "--strategy", "auto", "--schedule", "walk-forward"]  # fmt: skip
    say("replaying")
    program(home, "run", *run, "--speed", "max", "--bars", bars)
    return ["--home", str(home), "run", *run, "--speed", "0.02"]


def modelled_decision(bridge: Bridge, until: Until) -> str:
    """The newest trade that a model decided; empty where there is none."""
    from app.contract.queries import DecisionQuery, SignalsQuery

    answers: list[Any] = []
    bridge.ask(SignalsQuery("traded", "", 40), answers.append, "traded")
    until(lambda: bool(answers), 30)
    for row in answers[0].rows if answers else ():
        found: list[Any] = []
        bridge.ask(DecisionQuery(row.decision_id), found.append, "told")
        until(lambda found=found: bool(found), 30)  # type: ignore[misc]
        if found and found[0].members:
            return str(row.decision_id)
    return ""


def end_jobs(bridge: Bridge, window: MainWindow, until: Until) -> None:
    """Cancel what runs, before its result changes what later pictures show, and clear the tray."""
    from app.contract.commands import CancelJob, DismissJob
    from app.contract.queries import JobsQuery

    for state, command in (("running", CancelJob), ("cancelled", DismissJob)):
        answers: list[Any] = []
        bridge.ask(JobsQuery(), answers.append, "jobs")
        until(lambda answers=answers: bool(answers), 30)  # type: ignore[misc]
        for job in answers[0].jobs if answers else ():
            if job.state == state:
                bridge.send(command(job.job_id), lambda _: None)
        until(lambda: not window.tray.bar.isVisible(), 10)


def keep_backtests(bridge: Bridge, until: Until) -> None:
    """Two results for the back-test tab, one beside the other, where the home has none yet."""
    from app.contract.commands import RunBacktest
    from app.contract.forms import BacktestForm
    from app.contract.queries import BacktestsQuery

    def kept() -> int:
        answers: list[Any] = []
        bridge.ask(BacktestsQuery(), answers.append, "kept")
        until(lambda: bool(answers), 30)
        return len(answers[0].rows) if answers else 0

    for number, strategy in enumerate(BACKTESTED, start=1):
        if kept() < number:
            say(f"back-testing {strategy}")
            form = BacktestForm(SYMBOLS[:1], TIMEFRAME, strategy, since=BACKTESTED_FROM, gates="observe")
            bridge.send(RunBacktest(form), lambda outcome: say(outcome.sentence))
            until(lambda number=number: kept() >= number, 180)  # type: ignore[misc]


def picture(arguments: Sequence[str], out: Path, size: tuple[int, int], look: str) -> list[Path]:
    """Open the window on the home and save every tab."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path.insert(0, str(ROOT))
    from PyQt6.QtCore import QElapsedTimer
    from PyQt6.QtGui import QImage
    from PyQt6.QtWidgets import QApplication

    from app.contract.commands import RunWalkForward, VerifyAudit
    from app.runtime import open_service
    from dashboard.bridge import Bridge
    from dashboard.main_window import MainWindow
    from dashboard.tabs.overview import OverviewTab
    from dashboard.theme import dress, theme

    app = QApplication.instance() or QApplication(["screenshots"])
    assert isinstance(app, QApplication)
    dress(app, look)
    bridge = Bridge(open_service(list(arguments)))
    problems: list[str] = []
    bridge.failed.connect(problems.append)
    window = MainWindow(bridge, Path(arguments[1]) / "screenshots.ini")
    theme.use(look)
    window.resize(*size)
    window.show()

    def until(done: Callable[[], bool], seconds: float) -> bool:
        clock = QElapsedTimer()
        clock.start()
        while not done():
            if clock.elapsed() > seconds * 1000 or problems:
                return False
            app.processEvents()
        return True

    bridge.start(lambda _: None)
    running = until(lambda: window.strip_view is not None and window.strip_view.state in SHOWN, 120)
    if not running:
        state = window.strip_view.state if window.strip_view is not None else "nothing"
        raise SystemExit(f"The window did not come to a running service: {'; '.join(problems) or state}.")
    bridge.send(VerifyAudit(), lambda _: None)
    keep_backtests(bridge, until)
    told = modelled_decision(bridge, until)
    if told:
        window.by_key["signals"].focus_on(told)
    bridge.send(RunWalkForward(SYMBOLS[0], TIMEFRAME), lambda _: None)  # the tray of the first picture shows it
    until(lambda: (window.tray.bar.fraction or 0.0) > 0.0, 60)
    saved = []
    for notice in list(window.notices.notices):  # they would lie over the first pictures
        notice.dismiss()
    held = window.by_key["overview"]
    until(lambda: held.shown, 30)
    if isinstance(held, OverviewTab) and held.positions.rows.rowCount():
        window.by_key["chart"].symbol = held.positions.rows.row(0).symbol  # type: ignore[attr-defined]
    for at, tab in enumerate(window.tabs):
        tab.shown = False
        window.show_tab(at)
        if not until(lambda tab=tab: tab.shown, 30):  # type: ignore[misc]
            raise SystemExit(f"The tab {tab.title} did not answer: {'; '.join(problems)}")
        waited = QElapsedTimer()
        waited.start()
        until(lambda waited=waited: waited.elapsed() > 1200, 3)  # type: ignore[misc]
        path = out / f"{tab.key}.png"
        shown = window.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        if not shown.save(str(path), "PNG", 0):  # 0: the smallest file
            raise SystemExit(f"{path} could not be written.")
        saved.append(path)
        say(f"saved {path}")
        if at == 0:
            end_jobs(bridge, window, until)
    window.close()
    closing = bridge.close()
    if closing is not None:
        closing.result(20)
    return saved


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures; made if it is not there")
    parser.add_argument("--size", default="1600x900", help="width x height in pixels (default: 1600x900)")
    parser.add_argument("--look", choices=("dark", "light"), default="dark", help="palette (default: dark)")
    parser.add_argument("--home", type=Path, help="keep the filled home here for the next time")
    parser.add_argument("--quick", action="store_true", help="shorter walk-forwards")
    given = parser.parse_args()
    wide, _, tall = given.size.partition("x")
    given.out.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ.get("QUANTAI_TEST_DATA", ROOT.parent / "shared" / "data"))
    with tempfile.TemporaryDirectory(prefix="quantai-screens-") as folder:
        home = given.home or Path(folder) / "home"
        done = home / "screenshots.args"
        if done.is_file():
            arguments = done.read_text().split("\n")
        else:
            home.mkdir(parents=True, exist_ok=True)
            arguments = fill(home, data, quick=given.quick)
            done.write_text("\n".join(arguments))
        picture(arguments, given.out, (int(wide), int(tall)), given.look)


if __name__ == "__main__":
    main()
