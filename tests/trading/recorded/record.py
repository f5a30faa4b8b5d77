"""Writes ``answers.json`` beside this file: what backtesting.py trades on a year of recorded bars.

``pip install backtesting==0.6.6 pyarrow`` in an environment of its own (it brings a plotting library, too large for the
test tools), then ``python tests/trading/recorded/record.py FOLDER`` with the folder of the shared market data. Nothing
of this program is imported: indicators, crossings and levels are worked out here again. Only bar numbers and profits
in ticks are written, no prices.
"""

from __future__ import annotations

import json
import sys
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

FILE = "ohlcv/binance_um/5m/BTCUSDT-5m-20230101_20240514.parquet"
FIRST, BARS = 1500, 105_120  # five days to settle the averages, then a year
TICK = Fraction(1, 10)
FEE = 0.0005
CASES = {
    "ema-cross": {"stop": Fraction(6, 1000), "ratio": 2, "bars": 48},
    "rsi-oversold": {"stop": Fraction(5, 1000), "ratio": 3, "bars": 12},
}


def ema(values: list[float], bars: int) -> np.ndarray:
    """Mean of the first ``bars`` values, then the recursion with 2 / (bars + 1)."""
    out = np.full(len(values), np.nan)
    now = out[bars - 1] = sum(values[:bars]) / bars
    for k in range(bars, len(values)):
        now += (values[k] - now) * 2.0 / (bars + 1)
        out[k] = now
    return out


def rsi(values: list[float], bars: int) -> np.ndarray:
    """Wilder's: means of the first ``bars`` rises and falls, then smoothed by 1 / bars."""
    out = np.full(len(values), np.nan)
    changes = np.diff(values)
    rise = np.maximum(changes[:bars], 0.0).mean()
    fall = np.maximum(-changes[:bars], 0.0).mean()
    for k in range(bars, len(changes) + 1):
        out[k] = 100.0 * rise / (rise + fall)
        if k < len(changes):
            rise += (max(changes[k], 0.0) - rise) / bars
            fall += (max(-changes[k], 0.0) - fall) / bars
    return out


def sides(name: str, close: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """(side to enter, side to leave) of every close: 1 long, -1 short, 0 none."""
    if name == "rsi-oversold":
        strength, trend, price = rsi(close, 14), ema(close, 200), np.array(close)
        enter = 1 * ((strength < 30) & (price > trend)) - 1 * ((strength > 70) & (price < trend))
        return enter, np.zeros_like(enter)
    above = ema(close, 20) > ema(close, 50)
    cross = np.concatenate([[0], above[1:].astype(int) - above[:-1].astype(int)])
    return cross, -cross


class Rule(Strategy):
    """One coin a trade; stop and target at whole ticks from the fill, out by time or by the opposite signal."""

    enter: np.ndarray
    leave: np.ndarray
    opens: np.ndarray
    case: dict
    kinds: dict  # by bar of the entry, where not by a level

    def init(self) -> None:
        """Nothing: the signals are given."""

    def next(self) -> None:
        """At a close: leave, or enter at the next open."""
        now = len(self.data) - 1
        for trade in self.trades:
            timed = now - trade.entry_bar + 1 >= self.case["bars"]
            if timed or self.leave[now] == (1 if trade.is_long else -1):
                trade.sl = trade.tp = None  # the market order goes first: it is certain, the levels are not
                self.kinds[trade.entry_bar] = "time" if timed else "signal"
                trade.close()
                if not timed:
                    return
            else:
                return
        side = int(self.enter[now])
        if side != 0 and now + 1 < len(self.opens):
            self._enter(side, round(self.data.Close[-1] / float(TICK)), round(self.opens[now + 1] / float(TICK)))

    def _enter(self, side: int, last: int, fill: int) -> None:
        stop = int(self.case["stop"] * last)
        target = -int(-self.case["ratio"] * self.case["stop"] * last // 1)
        beyond = target + 1  # a limit order here fills when touched, there when traded through by a tick
        levels = {"sl": float((fill - side * stop) * TICK), "tp": float((fill + side * beyond) * TICK)}
        self.buy(size=1, **levels) if side > 0 else self.sell(size=1, **levels)


def trades(frame: pd.DataFrame, name: str) -> list[list]:
    """Per closed trade: bar of the entry and of the exit, side, kind of exit, ticks won, money won after fees."""
    case = CASES[name]
    enter, leave = (column[FIRST : FIRST + BARS] for column in sides(name, frame["Close"].tolist()))
    if name == "ema-cross":
        enter[0] = leave[0] = 0  # a crossing needs the bar before
    year = frame.iloc[FIRST : FIRST + BARS].reset_index(drop=True)
    kinds: dict = {}
    given = {"enter": enter, "leave": leave, "opens": year["Open"].to_numpy(), "case": case, "kinds": kinds}
    bound = type("Bound", (Rule,), given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bars without a calendar
        result = Backtest(year, bound, cash=1e9, commission=FEE).run()
    rows = []
    for row in result["_trades"].itertuples():
        side = 1 if row.Size > 0 else -1
        won = round(side * (row.ExitPrice - row.EntryPrice) / float(TICK))
        kind = kinds.get(row.EntryBar) or ("target" if won > 0 else "stop")
        rows.append([int(row.EntryBar), int(row.ExitBar), side, kind, won, round(float(row.PnL), 6)])
    return sorted(rows)


def main() -> None:
    """Write the file."""
    frame = pd.read_parquet(Path(sys.argv[1]) / FILE).rename(columns=str.title)
    frame = frame[["Open", "High", "Low", "Close", "Volume"]]
    answers = {name: trades(frame, name) for name in CASES}
    lines = ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(row) for row in rows) + "\n]" for name, rows in answers.items()
    )
    Path(__file__).with_name("answers.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
