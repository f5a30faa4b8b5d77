"""One declaration, two ways to the same number: bar by bar and over a frame; gaps, funding and the calendar."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from ai.features.engine import FeatureEngine, funding_by_bar
from ai.features.registry import FUNDING_FEATURES, GROUPS, MODEL_FEATURES, REGISTRY, lookback_bars, schema_of
from ai.features.steps import run_rows
from data.beside import Beside
from data.market import Frame, FundingFrame

pytestmark = pytest.mark.kernel

HOUR = 3_600_000
Array = npt.NDArray[np.float64]
MakeMarket = Callable[..., Frame]
MakeBeside = Callable[..., Beside]


def bar_by_bar(
    engine: FeatureEngine, frame: Frame, funding: FundingFrame | None, beside: Beside | None = None
) -> Array:
    rates = funding_by_bar(frame.open_time, frame.key.step_ms, funding)
    columns = None if beside is None else beside.at(frame.open_time)
    rows = [
        engine.step(
            int(frame.open_time[t]),
            frame.open[t],
            frame.high[t],
            frame.low[t],
            frame.close[t],
            frame.volume[t],
            rates[t],
            None if columns is None else columns[:, t],
        )
        for t in range(len(frame))
    ]
    return np.array(rows).T


@pytest.mark.parametrize("timeframe", ["1m", "15m", "1h", "4h", "1d"])
def test_bar_by_bar_equals_batch_to_the_last_bit(
    timeframe: str, make_market: MakeMarket, make_funding: Callable[[Frame], FundingFrame], make_beside: MakeBeside
) -> None:
    frame = make_market(3_000, timeframe, seed=3, skip=(700, 701, 1_500))
    funding, beside = make_funding(frame), make_beside(frame)
    engine = FeatureEngine(schema_of(), timeframe)
    batch = engine.batch(frame, funding, beside)
    assert batch.shape == (len(REGISTRY), len(frame))
    assert batch.flags.c_contiguous
    assert np.array_equal(bar_by_bar(engine, frame, funding, beside), batch, equal_nan=True)
    assert np.isfinite(batch).all(axis=0).any() or timeframe == "1m"  # settlements of a 1m frame are few


@pytest.mark.data
def test_bar_by_bar_equals_batch_on_recorded_bitcoin_and_what_was_recorded_beside_it(
    btc: Frame, btc_funding: FundingFrame, btc_beside: Beside
) -> None:
    engine = FeatureEngine(schema_of(), "1h")
    batch = engine.batch(btc, btc_funding, btc_beside)
    assert np.array_equal(bar_by_bar(engine, btc, btc_funding, btc_beside), batch, equal_nan=True)
    assert (np.isfinite(batch).mean(axis=1) > 0.5).all(), "a feature is missing nearly everywhere"


def test_batch_leaves_the_engines_own_history_and_extend_continues_it(
    make_market: MakeMarket, make_funding: Callable[[Frame], FundingFrame], make_beside: MakeBeside
) -> None:
    frame = make_market(900, skip=tuple(range(495, 505)))  # a settlement falls into the gap between the parts
    funding, beside = make_funding(frame), make_beside(frame)
    engine = FeatureEngine(schema_of(), "1h")
    whole = engine.batch(frame, funding, beside)
    first = engine.extend(frame.slice(0, 495), funding, beside)
    engine.batch(make_market(300, seed=9))
    second = engine.extend(frame.slice(495, 700), funding, beside)
    rest = bar_by_bar(engine, frame.slice(700, len(frame)), funding, beside)
    assert np.array_equal(np.hstack((first, second, rest)), whole, equal_nan=True)


def test_a_feature_does_not_depend_on_what_else_is_asked_for(make_market: MakeMarket, make_beside: MakeBeside) -> None:
    frame = make_market(1_200)
    everything, beside = schema_of(), make_beside(frame)
    whole = FeatureEngine(everything, "1h").batch(frame, None, beside)
    for group in GROUPS:
        names = [spec.name for spec in reversed(group)]
        alone = FeatureEngine(schema_of(names), "1h").batch(frame, None, beside)
        assert np.array_equal(alone, whole[[everything.index(name) for name in names]], equal_nan=True)
    for spec in REGISTRY:
        if spec.group != "monte_carlo":
            alone = FeatureEngine(schema_of([spec.name]), "1h").batch(frame, None, beside)
            assert np.array_equal(alone[0], whole[everything.index(spec.name)], equal_nan=True), spec.name


@pytest.mark.parametrize("names", [MODEL_FEATURES, ("momentum_24", "close"), ("momentum_24",)])
def test_two_threads_give_the_same_values_as_one(
    names: tuple[str, ...], make_market: MakeMarket, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = make_market(2_000, "15m", skip=(300, 301))
    frame.close[900] = np.nan
    engine = FeatureEngine(schema_of(names), "15m")
    one = engine.batch(frame)
    names_of_threads: set[str] = set()

    def watched(*arguments: object) -> None:
        names_of_threads.add(threading.current_thread().name)
        run_rows(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("ai.features.engine.LONG", 1_000)
    monkeypatch.setattr("ai.features.engine.threads", lambda: 2)
    monkeypatch.setattr("ai.features.engine.run_rows", watched)
    assert np.array_equal(engine.batch(frame), one, equal_nan=True)
    assert len(names_of_threads) == (1 if len(names) == 1 else 2)
    assert np.array_equal(engine.extend(frame), one, equal_nan=True)


def test_bars_in_pieces_of_any_size_give_the_same_values(make_market: MakeMarket, make_beside: MakeBeside) -> None:
    frame = make_market(3_000, "15m", seed=4, skip=(5, 6, 128, 700, 702, 704, 1_500))
    frame.close[[3, 51, 127, 128, 1_999]] = np.nan  # unsound bars: nothing goes on from them
    beside = make_beside(frame)
    schema = schema_of([spec.name for spec in REGISTRY if spec.group != "monte_carlo"])
    whole = FeatureEngine(schema, "15m").batch(frame, None, beside)
    generator, engine, pieces, at = np.random.default_rng(8), FeatureEngine(schema, "15m"), [], 0
    while at < len(frame):
        size = int(generator.choice([1, 2, 127, 128, 129, 300]))
        pieces.append(engine.extend(frame.slice(at, at + size), None, beside))
        at += size
    assert np.array_equal(np.hstack(pieces), whole, equal_nan=True)


@pytest.mark.data
@pytest.mark.parametrize("timeframe", ["1h", "15m"])
def test_values_no_longer_change_with_a_history_longer_than_the_look_back(
    timeframe: str, btc: Frame, btc_quarters: Frame, btc_funding: FundingFrame, btc_beside: Beside,
    make_beside: MakeBeside,
) -> None:  # fmt: skip
    frame = btc if timeframe == "1h" else btc_quarters
    beside = btc_beside if timeframe == "1h" else make_beside(frame)
    whole = FeatureEngine(schema_of(), timeframe).batch(frame, btc_funding, beside)
    for spec_index, spec in enumerate(REGISTRY):
        back = lookback_bars(spec, timeframe)
        engine = FeatureEngine(schema_of([spec.name]), timeframe)
        known = 0
        for t in (1_900, 3_400, 5_001, 5_333, 7_300):
            if back > t:
                continue
            value = engine.batch(frame.slice(t - back, t + 1), btc_funding, beside)[0, -1]
            scale = max(abs(whole[spec_index, t]), float(np.nanstd(whole[spec_index])))
            assert value == pytest.approx(whole[spec_index, t], abs=1e-9 * scale, rel=0, nan_ok=True), spec.name
            known += int(np.isfinite(value))
            if not spec.optional:
                assert np.isfinite(value), f"{spec.name} is not warm after its look-back"
        assert known, f"{spec.name} was compared nowhere"


def test_no_return_is_measured_over_a_gap(make_market: MakeMarket) -> None:
    frame = make_market(400, skip=(250, 251))
    names = [
        "log_return_1",
        "log_return_6",
        "momentum_24",
        "volatility_96",
        "rsi_14",
        "true_range_pct",
        "efficiency_24",
    ]
    one, six, momentum, volatility, rsi, true_range, _ = FeatureEngine(schema_of(names), "1h").batch(frame)
    assert np.isnan(one[250])
    assert np.isfinite(one[251])
    assert np.isnan(six[250:256]).all()
    assert np.isfinite(six[256])
    assert np.isnan(momentum[250:274]).all()
    assert np.isfinite(volatility[249:]).all()
    returns = np.delete(np.diff(np.log(frame.close)), 249)  # without the one over the gap
    assert volatility[300] == pytest.approx(returns[299 - 96 : 299].std(ddof=1), rel=1e-10)
    assert rsi[250] == rsi[249]
    assert true_range[250] == pytest.approx(100 * (frame.high[250] - frame.low[250]) / frame.close[250])


def test_an_invalid_bar_gives_no_values_and_is_not_taken_in(make_market: MakeMarket) -> None:
    frame = make_market(300)
    engine = FeatureEngine(schema_of(), "1h")
    engine.extend(frame)
    close = frame.close[-1]
    for bar in [(np.nan,) * 5, (close, close, 0.0, close, 1.0), (close, close - 1, close, close, 1.0),
                (close, close, close, close, -1.0), (close, np.inf, close, close, 1.0)]:  # fmt: skip
        assert np.isnan(engine.step(int(frame.open_time[-1]) + HOUR, *bar)).all()
    after = engine.step(int(frame.open_time[-1]) + 2 * HOUR, close, close, close, close, 1.0)
    skipped = FeatureEngine(schema_of(), "1h")
    skipped.extend(frame)
    same = skipped.step(int(frame.open_time[-1]) + 2 * HOUR, close, close, close, close, 1.0)
    assert np.array_equal(after, same, equal_nan=True)


@pytest.mark.nojit
def test_a_flat_market_without_volume_gives_neutral_values() -> None:
    engine = FeatureEngine(schema_of(MODEL_FEATURES), "1h")
    for t in range(200):
        row = engine.step(t * HOUR, 100.0, 100.0, 100.0, 100.0, 0.0)
    values = dict(zip(MODEL_FEATURES, row, strict=True))
    assert np.isfinite(row).all()
    assert values["rsi_14"] == values["stochastic_k"] == values["mfi_14"] == 50.0
    assert values["volatility_96"] == values["zscore_20"] == values["trend_t_96"] == values["obv_20"] == 0.0
    assert values["relative_volume_20"] == values["volatility_ratio"] == 1.0


def test_a_perfect_trend_has_a_bounded_t_value() -> None:
    engine = FeatureEngine(schema_of(["trend_t_96", "efficiency_24"]), "1h")
    for t in range(200):
        price = 100.0 + t
        row = engine.step(t * HOUR, price, price, price, price, 1.0)
    assert row.tolist() == [100.0, 1.0]


def test_funding_is_known_from_its_settlement_on_and_goes_stale(make_market: MakeMarket) -> None:
    frame = make_market(200)
    times = frame.open_time[0] + HOUR * np.array([8, 16, 24, 32], dtype=np.int64)
    rates = np.array([1e-4, 2e-4, 6e-4, -1e-4])
    funding = FundingFrame("x", "BTC/USDT:USDT", "exchange", times, rates, np.full(4, np.nan))
    names = ["funding_rate", "funding_mean_3", "funding_mean_21", "funding_annualised", "funding_hours_since"]
    rate, mean_3, mean_21, annual, since = FeatureEngine(schema_of(names), "1h").batch(frame, funding)
    assert np.isnan(rate[:7]).all()  # the settlement at 08:00 is known at the close of the bar 07:00-08:00
    assert rate[7:15].tolist() == [1e-4] * 8
    assert rate[15] == 2e-4
    assert np.isnan(mean_3[22])
    assert mean_3[23] == pytest.approx(3e-4)
    assert mean_3[31] == pytest.approx((2e-4 + 6e-4 - 1e-4) / 3)
    assert np.isnan(annual[14])
    assert annual[15] == pytest.approx(2e-4 * 1095)
    assert since[7:17].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0, 1]
    assert rate[31 + 24] == -1e-4
    assert np.isnan(rate[31 + 25 :]).all()  # older than a day: missing, not carried on
    assert np.isnan(mean_21).all()


@pytest.mark.nojit
def test_funding_of_four_hours_is_annualised_by_its_interval() -> None:
    engine = FeatureEngine(schema_of(["funding_annualised"]), "1h")
    for t in range(9):
        row = engine.step(t * HOUR, 1.0, 1.0, 1.0, 1.0, 1.0, 1e-4 if t % 4 == 3 else np.nan)
    assert row[0] == pytest.approx(1e-4 * 8760 / 4)


def test_a_settlement_within_a_gap_belongs_to_the_bar_after_it() -> None:
    opens = HOUR * np.array([0, 1, 2, 10, 11], dtype=np.int64)
    funding = FundingFrame(
        "x", "BTC/USDT:USDT", "exchange", HOUR * np.array([0, 2, 8, 99], dtype=np.int64),
        np.array([0.1, 0.2, 0.3, 0.4]), np.full(4, np.nan),
    )  # fmt: skip
    rates = funding_by_bar(opens, HOUR, funding)
    assert np.array_equal(rates, [np.nan, 0.2, np.nan, 0.3, np.nan], equal_nan=True)


def test_without_funding_its_features_are_missing_and_nothing_else_changes(
    make_market: MakeMarket, make_funding: Callable[[Frame], FundingFrame]
) -> None:
    frame = make_market(900)
    schema = schema_of()
    engine = FeatureEngine(schema, "1h")
    without, with_ = engine.batch(frame), engine.batch(frame, make_funding(frame))
    funding = [schema.index(name) for name in FUNDING_FEATURES]
    assert np.isnan(without[funding]).all()
    assert np.isfinite(with_[funding, -1]).all()
    assert np.array_equal(np.delete(without, funding, 0), np.delete(with_, funding, 0), equal_nan=True)


@pytest.mark.nojit
def test_the_step_does_no_hidden_division_by_zero_on_a_short_market_with_a_gap(
    make_market: MakeMarket, make_beside: MakeBeside
) -> None:
    frame = make_market(130, skip=(60,))
    names = [spec.name for spec in REGISTRY if spec.group != "monte_carlo"]  # uncompiled it takes minutes
    engine = FeatureEngine(schema_of(names), "1h")
    values = bar_by_bar(engine, frame, None, make_beside(frame))
    assert np.isfinite(values[engine.schema.index("trend_t_96"), 95:]).all()
    assert np.isnan(values[engine.schema.index("log_return_96")]).all()  # the gap is within every horizon


@pytest.mark.nojit
def test_calendar_turns_with_the_close_in_utc() -> None:
    engine = FeatureEngine(schema_of(["hour_sin", "hour_cos", "weekday_sin", "weekday_cos"]), "1h")
    monday_5_to_6 = 1_704_067_200_000 + 5 * HOUR  # 2024-01-01 was a Monday
    row = engine.step(monday_5_to_6, 1.0, 1.0, 1.0, 1.0, 1.0)
    quarter_day_of_week = 2 * np.pi / 28
    expected = [1.0, 0.0, np.sin(quarter_day_of_week), np.cos(quarter_day_of_week)]
    assert row == pytest.approx(expected, abs=1e-12)


def test_an_empty_frame_gives_an_empty_matrix(make_market: MakeMarket) -> None:
    assert FeatureEngine(schema_of(["rsi_14"]), "1h").batch(make_market(10).slice(0, 0)).shape == (1, 0)
