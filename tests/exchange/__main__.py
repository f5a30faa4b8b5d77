"""A local Binance to practise against, on the real clock: ``python -m tests.exchange --port 9000 --replay FILE``."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from data.clock import SystemClock
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import COARSE, FINE, USUAL
from tests.exchange.practice import serve_file, serve_synthetic

RHYTHMS = {"fine": FINE, "usual": USUAL, "coarse": COARSE}
HOW = """\
A Binance USD-M futures exchange on this machine: {url}
  {what}
  REST {url}/fapi/v1/...   streams {ws}/market/ws and {ws}/public/ws
Point the program at it, in a home of its own:
  export QUANTAI_HOME=practice QUANTAI_DATA__BASE_URL={url}
or, stored:
  python -m app.main --home practice settings set data.base_url {url}
then for example
  python -m app.main --home practice download --symbol {symbol} --timeframe 5m --since {since}
Ctrl+C ends it.
"""


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.exchange",
        description="A local exchange that speaks Binance USD-M futures' public side, to practise against.",
        epilog="Without --replay: made-up markets of eight symbols that go on from the present moment.",
    )
    parser.add_argument("--port", type=int, default=9000, help="port on 127.0.0.1 (default 9000; 0: any free one)")
    parser.add_argument(
        "--replay", type=Path, action="append", default=[], metavar="FILE",
        help="candles (.parquet, .feather, .csv), moved so that they go on now, or a raw recording "
        "(.jsonl or .jsonl.gz of 'local_ns payload' lines); may be given several times",
    )  # fmt: skip
    parser.add_argument("--symbol", help="symbol of a candle file whose name does not say it, as BTCUSDT")
    parser.add_argument("--at", type=float, default=0.75, help="share of a candle file that is past (default 0.75)")
    parser.add_argument("--days", type=int, default=7, help="days of made-up history (default 7)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the made-up markets (default 1)")
    parser.add_argument("--rhythm", choices=RHYTHMS, default="fine", help="how often the streams speak (default fine)")
    return parser.parse_args(given)


async def serve(options: argparse.Namespace) -> None:
    """Serve until the process is interrupted."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: Ctrl+C ends asyncio.run instead
            break
    server = BinanceServer(SystemClock(), RHYTHMS[options.rhythm], options.port)
    if options.replay:
        what = "\n  ".join(serve_file(server, path, options.at, options.symbol) for path in options.replay)
    else:
        what = f"made-up markets of {', '.join(serve_synthetic(server, options.days, options.seed))}"
    async with server:
        first = server.market.base(server.market.symbols[0]).open_time[0]
        since = str(first.astype("datetime64[ms]").astype("datetime64[D]"))
        shown = HOW.format(url=server.url, ws=server.ws_url, what=what, symbol=server.market.symbols[0], since=since)
        sys.stdout.write(shown)
        sys.stdout.flush()
        await stop.wait()
    sys.stdout.write(f"Ended after {len(server.requests)} requests and {server.hub.opened} stream connections.\n")


def main(given: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    try:
        asyncio.run(serve(arguments(given)))
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
