#!/usr/bin/env python3
"""Pictures of every tab with real content: ``python scripts/screenshots.py --out DIR``.

Fills an empty home through the program's own commands (import, walk-forward, replay), opens the window offscreen on
that home, and saves each tab as ``<tab>.png``. Market data are looked for in QUANTAI_TEST_DATA (default: the folder
``shared/data`` beside this repository); without them the synthetic market is used, and the output says so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
TIMEFRAME = "15m"
REPLAY = "2025-03-01..2025-07-18"
REPLAY_BARS = 13_268  # up to 17 Jul 2025 05:00, in the middle of a trade
WALK_FORWARD_FROM = "2023-06-01"
SYNTHETIC_BARS = 12_000
# The volatility halt stays until a person resumes: no person watches here, so the run is given room.
SETTINGS = {"trading.limits.black_swan": "20"}


def say(words: str) -> None:
    """Progress, for whoever waits."""
    print(words, file=sys.stderr, flush=True)


def program(home: Path, *arguments: str) -> None:
    """One command of the program on this home; its output is shown only if it fails."""
    command = [sys.executable, "-m", "app.main", "--home", str(home), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise SystemExit(f"'{' '.join(arguments)}' failed with exit code {done.returncode}.")


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
    hourly = newest(data / "ohlcv" / "binance_um" / "1h", "BTCUSDT-1h-*.parquet")
    if hourly is not None:
        program(home, "import", str(hourly), "--symbol", "BTCUSDT", "--timeframe", "1h")
    return True


def fill(home: Path, data: Path, *, quick: bool) -> list[str]:
    """Give the home a history; the result is the window's command line."""
    for key, value in SETTINGS.items():
        program(home, "settings", "set", key, value)
    if import_market(home, data):
        symbols, replay, bars = ",".join(SYMBOLS), ["--replay", REPLAY], str(REPLAY_BARS)
        since = ["--from", "2024-09-01" if quick else WALK_FORWARD_FROM]
    else:
        say(f"no market data at {data}: these pictures show the synthetic market")
        symbols, replay, bars = "BTCUSDT", ["--data-source", "synthetic"], str(SYNTHETIC_BARS - 200)
        program(home, "synthetic", "--symbol", "BTCUSDT", "--timeframe", TIMEFRAME, "--bars", str(SYNTHETIC_BARS),
                "--seed", "7")  # fmt: skip
        since = ["--train", "2mo", "--test", "2w", "--step", "2w"]
    say("walk-forward: training and scoring out of sample (this takes a minute or two)")
    program(home, "walk-forward", "--symbol", "BTCUSDT", "--timeframe", TIMEFRAME, *since)
    run = ["--source", "replay", *replay, "--symbols", symbols, "--timeframe", TIMEFRAME, "--strategy", "rsi-oversold"]
    say("replaying")
    program(home, "run", *run, "--speed", "max", "--bars", bars)
    return ["--home", str(home), "run", *run, "--speed", "0.02"]


def picture(arguments: Sequence[str], out: Path, size: tuple[int, int], look: str) -> list[Path]:
    """Open the window on the home and save every tab."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path.insert(0, str(ROOT))
    from PyQt6.QtCore import QElapsedTimer
    from PyQt6.QtWidgets import QApplication

    from app.contract.commands import VerifyAudit
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
    running = until(lambda: window.strip_view is not None and window.strip_view.state == "RUNNING", 120)
    if not running:
        raise SystemExit(f"The window did not come to a running service: {'; '.join(problems) or 'no reason given'}")
    bridge.send(VerifyAudit(), lambda _: None)
    saved = []
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
        if not window.grab().save(str(path)):
            raise SystemExit(f"{path} could not be written.")
        saved.append(path)
        say(f"saved {path}")
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
    parser.add_argument("--quick", action="store_true", help="a shorter walk-forward")
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
