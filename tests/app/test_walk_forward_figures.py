"""Every figure of a walk-forward's report is made anew from what is stored, by other libraries.

Oracles: labels by plain Python over five-minute bars with TA-Lib's ATR; scores by scikit-learn; bands by the same draws
counted with numpy; the logistic baseline by scikit-learn on TA-Lib's and pandas' features; money by pandas over the
ledger that the bar-by-bar engine stores; luck of the search by scipy, lag by lag and split by split.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib
from scipy import stats
from sklearn.linear_model import LogisticRegression

from ai.features.registry import warmup_bars
from ai.forecast import FIRST_ADVICE, Abstain, Col, abstaining_row
from ai.training import training_schema
from ai.validation.reality_check import stationary_rows
from ai.validation.trials import Trial
from app.backtests import Request, chosen, inputs_of, series_of
from app.evaluation import TradingEvaluator
from app.instrument_rules import rules_of
from app.main import main
from app.trials import sharpe_of
from app.wiring import Workplace
from data.market import Frame, FundingFrame, SeriesKey
from database.home import Home
from tests.app import figure_oracles as oracle
from trading.backtest import run_service
from trading.journal import AccountKey
from trading.records import DECISION, Action, ExitReason, Purpose

pytestmark = pytest.mark.data

BARS, FINER, SEED = 5_200, 12, 11
START = 10_000.0  # USDT
NAMES = ("open", "high", "low", "close", "volume")
EXACT = 1e-9


@dataclass(frozen=True)
class Walked:
    """A home after two walk-forwards (and one that failed), and what is stored of the second."""

    home: Path
    document: dict[str, Any]
    other: dict[str, Any]
    bars: pd.DataFrame
    finer: pd.DataFrame
    funding: pd.DataFrame
    rows: pd.DataFrame  # forecasts, one column for each of the row's
    truth: oracle.Truth

    @property
    def scored(self) -> pd.DataFrame:
        """Forecast rows with a label: probabilities, label ``y`` and base rates ``b-1 b0 b1`` of their fold."""
        code = self.rows[int(Col.ABSTAIN)]
        said = self.rows[(code == Abstain.NO) | (code >= FIRST_ADVICE)]
        place = self.bars.index.get_indexer(said.index)
        found = said.assign(y=self.truth.label[place], whole=self.truth.complete[place])
        found[["b-1", "b0", "b1"]] = np.nan
        for number, fold in enumerate(self.document["folds"]):
            inside = (found.index >= fold["test_from"]) & (found.index < fold["test_to"])
            found.loc[inside, ["b-1", "b0", "b1"]] = self.base(fold)
            found.loc[inside, "fold"] = number
        return found[found.whole]

    def known(self, fold: dict[str, Any]) -> np.ndarray:
        """Rows of the training window whose label is used: purged before the calibration slice and at the end."""
        first, last = self.bars.index.get_indexer([pd.Timestamp(fold["train_from"]), pd.Timestamp(fold["test_from"])])
        warm = warmup_bars(training_schema("swing", "1h").names, "1h")
        rows = np.arange(max(first, warm), last)
        border = rows[round(len(rows) * 0.85)]
        end = self.truth.end[rows]
        return rows[self.truth.complete[rows] & np.where(rows < border, end < border, end < last)]

    def base(self, fold: dict[str, Any]) -> list[float]:
        """Class shares of those labels, one added to each class."""
        counts = pd.Series(self.truth.label[self.known(fold)]).value_counts().reindex(oracle.CLASSES, fill_value=0) + 1
        return list(counts / counts.sum())


def table(path: Path) -> pd.DataFrame:
    found = pd.read_parquet(path)
    return found.set_index(found["timestamp"].astype("datetime64[ms, UTC]"))


def stamps(frame: pd.DataFrame) -> np.ndarray:
    return frame.index.astype("int64").to_numpy().copy()


@pytest.fixture(scope="module")
def walked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Walked:
    folder = tmp_path_factory.mktemp("figures") / "home"
    market = shared_data / "ohlcv/binance_um"
    finer = table(market / "5m/BTCUSDT-5m-20230101_20240514.parquet")[: BARS * FINER]
    bars = table(market / "1h/BTCUSDT-1h-20190908_20250602.parquet")
    bars = bars[(bars.index >= finer.index[0]) & (bars.index <= finer.index[-1])]
    funding = table(shared_data / "funding/binance_um/BTCUSDT-8h-20190910_20250531.parquet")
    funding.index = funding.index.round("min")  # as an import does
    funding = funding[(funding.index >= bars.index[0]) & (funding.index <= bars.index[-1])]
    with Home(folder).open() as database:
        for name, frame in (("1h", bars), ("5m", finer)):
            key = SeriesKey("binanceusdm", "BTC/USDT:USDT", name)
            database.candles.write(Frame.of(key, stamps(frame), *[frame[c].to_numpy(dtype=float) for c in NAMES]))
        none = np.full(len(funding), np.nan)
        rates = funding.funding_rate.to_numpy(dtype=float)
        database.candles.write_funding(
            FundingFrame("binanceusdm", "BTC/USDT:USDT", "exchange", stamps(funding), rates, none)
        )
    for change in (("ai.max_disagreement", "0.02"), ("trading.costs.taker_fee", "0.0001")):  # so that there are some
        assert main(["--home", str(folder), "--json", "settings", "set", *change]) == 0
    line = ["--home", str(folder), "--json", "walk-forward", "--symbol", "BTCUSDT", "--timeframe", "1h"]
    windows = ["--train", "2200b", "--test", "1000b", "--models", "logistic,lightgbm"]
    assert main([*line, "--train", "24mo"]) == 1
    assert main([*line, *windows, "--seed", "3"]) == 0
    assert main([*line, *windows, "--seed", str(SEED), "--embargo", "0"]) == 0
    with Workplace.opened(folder) as place:
        newest, other = place.database.forecasts.runs()
        run = place.database.forecasts.load(newest.run_id)
    index = pd.to_datetime(run.open_time, unit="ms", utc=True)
    atr = talib.ATR(bars.high.to_numpy(), bars.low.to_numpy(), bars.close.to_numpy(), 14)
    truth = oracle.swing_labels(bars, finer, atr, FINER)
    return Walked(
        folder,
        dict(newest.result),
        dict(other.result),
        bars,
        finer,
        funding,
        pd.DataFrame(run.rows, index=index),
        truth,
    )


def check(said: dict[str, Any], expected: dict[str, Any], exact: float = EXACT) -> None:
    """Every figure of ``said`` but words is expected, and is what is expected."""
    figures = {k: v for k, v in said.items() if isinstance(v, int | float)}
    assert set(figures) - set(expected) <= {"folds", "mean_weight", "n_marked"}
    for name in figures:
        if name in expected:
            assert figures[name] == pytest.approx(expected[name], rel=exact, abs=exact), name


def parts(found: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    p = found[[int(Col.P_SHORT), int(Col.P_NEUTRAL), int(Col.P_LONG)]].to_numpy()
    return p, found.y.to_numpy(), found[["b-1", "b0", "b1"]].to_numpy(), found.fold.to_numpy()


def test_pooled_scores_bands_and_diagram(walked: Walked) -> None:
    p, y, base, fold = parts(walked.scored)
    overall = walked.document["overall"]
    check(overall, oracle.score_figures(p, y, base, fold, SEED, 1000))
    assert overall["n"] > 2_900
    diagram = oracle.diagram(p, y, SEED, 1000)
    assert len(diagram) == len(walked.document["reliability"])
    for said, expected in zip(walked.document["reliability"], diagram, strict=True):
        assert said == pytest.approx(expected, rel=EXACT, abs=EXACT)


def test_scores_of_folds_members_baselines_and_acted_on_forecasts(walked: Walked) -> None:
    document, scored = walked.document, walked.scored
    for fold in document["folds"]:
        found = scored[(scored.index >= fold["test_from"]) & (scored.index < fold["test_to"])]
        check(fold, oracle.score_figures(*parts(found), SEED, 300))
    _, y, base, folds = parts(scored)
    for k, name in enumerate(("logistic", "lightgbm")):
        at = int(Col.FIRST_MEMBER) + 4 * k
        check(
            document["members"][name],
            oracle.score_figures(scored[[at + 1, at + 2, at]].to_numpy(), y, base, folds, SEED, 300),
        )
        assert document["members"][name]["mean_weight"] == pytest.approx(scored[at + 3].mean())
    check(document["baselines"]["base rate"], oracle.score_figures(base, y, base, folds, SEED, 300))
    code = scored[int(Col.ABSTAIN)].astype(int)
    reasons = {Abstain(c).name.lower(): int(n) for c, n in code[code > 0].value_counts().items()}
    assert document["advice"]["reasons"] == reasons
    assert document["advice"]["advised_against"] == sum(reasons.values()) > 0
    check(document["advice"]["acted_on"], oracle.score_figures(*parts(scored[code == 0]), SEED, 300))


def test_first_touches_on_finer_bars(walked: Walked) -> None:
    said = (walked.document["finer"], walked.document["both_touched"], walked.document["decided_by_finer"])
    assert said == ("5m", walked.truth.both, walked.truth.decided)
    assert walked.truth.decided > 10


def test_the_logistic_baseline(walked: Walked) -> None:
    """Solved by iteration to a tolerance of its own: six digits."""
    bars, truth = walked.bars, walked.truth
    high, low, close = (bars[c].to_numpy() for c in ("high", "low", "close"))
    t_value = [math.nan] * 95 + [trend(close[i - 95 : i + 1]) for i in range(95, len(close))]
    returns = np.log(bars.close).diff()
    features = np.column_stack([
        np.log(bars.close / bars.close.shift(24)), t_value, talib.RSI(close, 14),
        100.0 * talib.ATR(high, low, close, 14) / close,
        np.sqrt((returns**2).rolling(12).mean()) / returns.rolling(96).std(ddof=1),
        bars.volume / bars.volume.rolling(20).mean(),
    ])  # fmt: skip
    said = pd.DataFrame(index=bars.index, columns=list(oracle.CLASSES), dtype=float)
    for fold in walked.document["folds"]:
        first, border, last = (
            bars.index.searchsorted(pd.Timestamp(fold[k])) for k in ("train_from", "test_from", "test_to")
        )
        rows = np.arange(max(first, warmup_bars(training_schema("swing", "1h").names, "1h")), border)
        rows = rows[truth.complete[rows] & (truth.end[rows] < border)]
        alive = np.zeros(len(bars))
        for r in rows:
            alive[r + 1 : truth.end[r] + 1] += 1
        weight = np.array([np.mean(1.0 / alive[r + 1 : truth.end[r] + 1]) for r in rows])
        mean = np.average(features[rows], axis=0, weights=weight)
        scale = np.sqrt(np.average((features[rows] - mean) ** 2, axis=0, weights=weight))
        model = LogisticRegression(C=0.003, max_iter=5_000, tol=1e-9)
        model.fit((features[rows] - mean) / scale, truth.label[rows], sample_weight=weight)
        said.iloc[border:last] = model.predict_proba((features[border:last] - mean) / scale)
    _, y, base, folds = parts(walked.scored)
    expected = oracle.score_figures(said.loc[walked.scored.index].to_numpy(), y, base, folds, SEED, 300)
    found = walked.document["baselines"]["logistic"]
    for name in ("log_loss", "skill", "skill_low", "skill_high", "brier", "brier_skill"):
        assert found[name] == pytest.approx(expected[name], abs=2e-5), name
    assert found["auc"] == pytest.approx(expected["auc"], abs=2e-3)  # of ranks: neighbours may change places


def trend(close: np.ndarray) -> float:
    return float((line := stats.linregress(np.arange(len(close)), close)).slope / line.stderr)


# ---- money -----------------------------------------------------------------------------------------------------------


def confident(rows: np.ndarray, seed: int) -> np.ndarray:
    """Stored forecasts of which some, drawn by ``seed``, are sure of one side: honest ones hardly ever trade."""
    rng = np.random.default_rng(seed)
    out = rows.copy()
    for t in np.flatnonzero(rng.random(len(rows)) < 0.1):
        up = rng.random() < 0.5
        out[t, [Col.P_LONG, Col.P_SHORT, Col.P_NEUTRAL]] = (0.6, 0.2, 0.2) if up else (0.2, 0.6, 0.2)
        out[t, [Col.L_TARGET, Col.L_STOP, Col.L_TIME]] = (0.6, 0.3, 0.1) if up else (0.2, 0.7, 0.1)
        out[t, [Col.S_TARGET, Col.S_STOP, Col.S_TIME]] = (0.2, 0.7, 0.1) if up else (0.6, 0.3, 0.1)
        out[t, [Col.LOWER_LONG, Col.LOWER_SHORT]] = (0.5, 0.1) if up else (0.1, 0.5)
        out[t, Col.ABSTAIN] = Abstain.NO
    return out


@dataclass(frozen=True)
class Judged:
    """What the evaluator says of confident forecasts, and the ledger of the bar-by-bar engine that traded them."""

    said: dict[str, Any]
    other: dict[int, float]  # daily returns of the other configuration that was tried
    ledgers: dict[str, dict[str, pd.DataFrame]]


@pytest.fixture(scope="module")
def judged(walked: Walked) -> Judged:
    with Workplace.opened(walked.home) as place:
        run = place.database.forecasts.load(place.database.forecasts.runs()[0].run_id)
        key, info = run.info.key, run.info
        frame = place.database.candles.read(key)
        funding = place.database.candles.read_funding(key.exchange, key.symbol, key.source)
        whole = np.tile(abstaining_row(Abstain.NO_MODEL), (len(frame), 1))
        at = np.searchsorted(frame.open_time, run.open_time)
        rules = rules_of(place.database, key, frame)
        evaluator = TradingEvaluator(place.settings, tuple, "one", None, SEED, rules)
        whole[at] = confident(run.rows, 2)
        evaluator.evaluate(frame, funding, whole, "swing")
        other = dict(evaluator.daily or {})
        failed = Trial(key, "tuning", "two", {}, 0, 1, failure="no result")
        second = Trial(key, "walk-forward", "three", {}, 0, 1, sharpe=sharpe_of(other), daily=other)
        evaluator.trials = lambda: [failed, second]
        whole[at] = confident(run.rows, 1)
        said = dict(evaluator.evaluate(frame, funding, whole, "swing"))
        place.database.forecasts.save(
            "wf-confident", key, info.created_ms + 1, run.open_time, whole[at], info.schedule, info.member_names,
            info.spec, {},
        )  # fmt: skip
        ledgers = {name: ledger_of(place, name == "account") for name in ("edge", "account")}
        place.database.forecasts.delete("wf-confident")
    return Judged(said, other, ledgers)


def ledger_of(place: Workplace, enforce: bool) -> dict[str, pd.DataFrame]:
    asked = Request(("BTC/USDT:USDT",), "1h", strategy="ensemble", schedule="wf-confident", enforce=enforce, seed=SEED)
    keys = series_of(place, asked)
    inputs = inputs_of(place, asked, keys, *chosen(place, asked, keys)[:2])
    account = AccountKey("backtest", "binanceusdm", "simulated", "exchange", str(enforce))
    begin = int(inputs.grid.open_time[0])
    number = place.database.journal.open_account(account, START, begin, {"symbols": list(inputs.config.symbols)})
    run_service(
        inputs.config, inputs.grid, inputs.features, inputs.forecasts, place.database.journal, number, inputs.schema,
        None, inputs.history,
    )  # fmt: skip
    stored = place.database.trading
    found = {
        "equity": stored.equity(number), "trades": stored.trades(number), "fills": stored.fills(number),
        "decisions": stored.decisions(number).rows[[n for n in DECISION.names or () if not n.startswith("gate_")]],
    }  # fmt: skip
    frames = {name: pd.DataFrame({c: rows[c] for c in rows.dtype.names if c != "_pad"}) for name, rows in found.items()}
    for column in ("entry_time", "exit_time"):
        frames["trades"][column] = pd.to_datetime(frames["trades"][column], unit="ms", utc=True)
    return frames


def daily_of(frames: dict[str, pd.DataFrame], start: float) -> pd.Series:
    """Returns from midnight to midnight; a close at 00:00 belongs to the day that ends."""
    equity = frames["equity"]
    within = pd.to_datetime(equity.open_time.to_numpy() + 3_600_000 - 1, unit="ms", utc=True)
    path = equity.equity.groupby(within.floor("D")).last()
    return path / path.shift(fill_value=start) - 1.0


@pytest.mark.parametrize("name", ["edge", "account"])
def test_money_by_the_stored_ledger(judged: Judged, name: str) -> None:
    frames = judged.ledgers[name]
    trades, fills, decisions = frames["trades"], frames["fills"], frames["decisions"]
    daily = daily_of(frames, START)
    expected = oracle.trading_figures(frames["equity"], trades, START, daily) | oracle.return_figures(daily, SEED)
    expected |= {f"exit_{r.name.lower()}": int((trades.exit_reason == r).sum()) for r in ExitReason}
    sent = decisions[decisions.action.isin([int(Action.LONG), int(Action.SHORT)])].set_index("plan_id").quantity
    filled = fills[fills.purpose == Purpose.ENTRY].groupby("plan_id").quantity.sum().reindex(sent.index, fill_value=0.0)
    expected["fill_rate"] = float((filled / sent).clip(upper=1.0).mean())
    expected |= search_figures(daily, judged.other)
    figures = {k: v for k, v in judged.said[name].items() if v is not None and not isinstance(v, str)}
    assert len(trades) > (50 if name == "edge" else 3)
    assert set(figures) <= set(expected)
    for key, value in figures.items():
        assert value == pytest.approx(expected[key], rel=1e-8, abs=EXACT), key
    for key in set(expected) - set(figures):
        assert expected[key] is None or not math.isfinite(expected[key]), key


def search_figures(daily: pd.Series, tried: dict[int, float]) -> dict[str, Any]:
    """Three tries: this one, another one, and one that failed."""
    other = pd.Series(tried).sort_index()
    both = np.column_stack([daily.to_numpy(), other.to_numpy()])
    rows = stationary_rows(len(daily), 5.0, 1000, np.random.default_rng(SEED))
    white, hansen = oracle.better_than_nothing(both, rows, 5.0)
    luck = oracle.best_of(3, [r.mean() / r.std() for r in (daily, other)])
    return {
        "probabilistic_sharpe": oracle.sharpe_chance(daily, 0.0), "deflated_sharpe": oracle.sharpe_chance(daily, luck),
        "minimum_track_record_days": oracle.track_record(daily), "track_record_days": len(daily),
        "pbo": oracle.overfitting(pd.DataFrame(both)), "reality_check": white, "superior_ability": hansen,
        "trials": 3, "trials_with_returns": 2, "trials_compared": 2,
    }  # fmt: skip


def test_the_walk_forward_is_judged_by_that_evaluator_with_every_try(walked: Walked) -> None:
    """Three tries: one that failed, one with another seed, this one."""
    trading = walked.document["trading"]
    assert (trading["trials"], trading["edge"]["trials"], trading["account"]["trials"]) == (3, 3, 3)
    assert {k: v for k, v in trading.items() if k in trading["edge"]} == trading["edge"]
    path = np.prod([1.0 + r for r in walked.document["daily"].values()])
    assert trading["net_return"] == pytest.approx(path - 1.0, abs=EXACT)
    days = (walked.rows.index[-1] + pd.Timedelta(minutes=59)).floor("D") - walked.rows.index[0].floor("D")
    assert len(walked.document["daily"]) == trading["track_record_days"] == days.days + 1


def test_buying_and_holding_the_tested_bars(walked: Walked) -> None:
    bars = walked.bars.loc[walked.rows.index]
    quantity, cost = 10_000.0 / bars.open.iloc[0], 0.0001 + 0.0001 / 2
    equity = 10_000.0 * (1.0 - cost) + quantity * (bars.close - bars.open.iloc[0])
    for moment, rate in walked.funding.funding_rate.items():
        if bars.index[0] < moment <= bars.index[-1] + pd.Timedelta(hours=1):
            ended = moment - pd.Timedelta(hours=1)  # the bar that closes then
            equity.loc[equity.index >= ended] -= quantity * bars.close.loc[ended] * rate
    equity.iloc[-1] -= cost * quantity * bars.close.iloc[-1]
    frame = pd.DataFrame({"open_time": stamps(bars), "equity": equity.to_numpy()})
    daily = daily_of({"equity": frame}, 10_000.0)
    path = pd.Series([10_000.0, *equity])
    held, idle = (walked.document["baselines"][name] for name in ("buy and hold", "no trade"))
    assert held["net_return"] == pytest.approx(equity.iloc[-1] / 10_000.0 - 1.0, abs=EXACT)
    assert held["equity_end"] == pytest.approx(equity.iloc[-1], rel=EXACT)
    assert held["sharpe"] == pytest.approx(daily.mean() / daily.std() * math.sqrt(365), rel=EXACT)
    assert held["max_drawdown"] == pytest.approx((1.0 - path / path.cummax()).max(), rel=EXACT)
    assert (idle["net_return"], idle["sharpe"], idle["max_drawdown"], idle["bars"]) == (0.0, None, 0.0, len(bars))


def test_what_is_stored_is_what_was_said(walked: Walked) -> None:
    with Workplace.opened(walked.home) as place:
        newest = place.database.forecasts.runs()[0]
        kept = {(m.fold, m.name): m.value for m in place.database.models.metrics(newest.run_id)}
        trials = place.database.trials.of(newest.key)
    for number, fold in enumerate(walked.document["folds"]):
        assert {name: kept[number, name] for name in ("auc", "skill_low", "ece_high")} == {
            name: fold[name] for name in ("auc", "skill_low", "ece_high")
        }
    assert kept[-1, "brier_skill_high"] == walked.document["overall"]["brier_skill_high"]
    assert [t.failure is None for t in trials] == [False, True, True]
    assert {str(day): r for day, r in trials[-1].daily.items()} == walked.document["daily"]
    assert json.loads(json.dumps(walked.document, allow_nan=False)) == walked.document
