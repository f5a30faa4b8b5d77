"""The library's documents: well-known strategies, each with what it means and where it was published.

Thresholds that stand for a meaning (up-probability 65, 55 and 45 %, |Z| 2, slope 0.5 per mille of price per bar, |t| 2
for a trend) are named once. Trending and ranging markets have different strategies: a reversion asks for a range, a
momentum for a trend. None of them was fitted to a market; none is claimed to earn.
"""

from __future__ import annotations

from typing import Any

Document = dict[str, Any]

STRONG_UP, MODERATE_UP, AVOID_UP = 0.65, 0.55, 0.45  # share of paths that rise, as ai.monte_carlo reads it
TREND_T = 2.0  # |t| of the slope of 96 closes above this is a trend, as ai.regime reads it
STRONG_Z = 2.0  # |Z| above this is strong
STRONG_SLOPE = 0.5  # per mille of price per bar
ENSEMBLE_THRESHOLD = 0.30  # scalp and swing pay 2.5-3 times the stop: break-even lies near 0.28; EV > 0 decides
OVERSOLD, OVERBOUGHT = 30.0, 70.0
UP = "mc_up_24"
NO_TARGET = 100.0  # stop distances: no position ever runs so far


def _is(left: str, op: str, right: str | float) -> Document:
    return {"left": left, "op": op, "right": right}


def _all(*parts: Document) -> Document:
    return {"all": list(parts)}


UPTREND, DOWNTREND = _is("close", ">", "ema_200"), _is("close", "<", "ema_200")
RISING, FALLING = _is("trend_t_96", ">", TREND_T), _is("trend_t_96", "<", -TREND_T)
RANGING = _all(_is("trend_t_96", "<=", TREND_T), _is("trend_t_96", ">=", -TREND_T))

_REVERSION = {
    "long": _all(_is("close", "crosses_above", "bollinger_lower"), RANGING),
    "short": _all(_is("close", "crosses_below", "bollinger_upper"), RANGING),
}
_MOMENTUM = {
    "long": _all(RISING, _is("slope_10", ">", STRONG_SLOPE), _is("momentum_96", ">", 0.0)),
    "short": _all(FALLING, _is("slope_10", "<", -STRONG_SLOPE), _is("momentum_96", "<", 0.0)),
}

RSI_OVERSOLD: Document = {
    "name": "rsi-oversold",
    "meaning": "Buys a dip in an uptrend: RSI(14) under 30 with the close above EMA 200; sells the mirror image, RSI "
    "over 70 under EMA 200. The filter keeps it from catching what falls for good. Stop, target and time limit are the "
    "profile's.",
    "source": "Wilder 1978, New Concepts in Technical Trading Systems; trend filter as in Connors & Alvarez 2009.",
    "long": _all(_is("rsi_14", "<", OVERSOLD), UPTREND),
    "short": _all(_is("rsi_14", ">", OVERBOUGHT), DOWNTREND),
}

MONTE_CARLO: Document = {
    "name": "monte-carlo",
    "meaning": "Reads 1,000 Monte-Carlo paths of the next 24 bars: above 65 % that rise is a strong sign, above 55 % a "
    "moderate one that the strong slope of ten closes must confirm; below 45 % a long position is left. Mirrored for "
    "shorts. The drift of 50 bars is all that the paths know, so this is momentum, not foresight.",
    "source": "Glasserman 2003, Monte Carlo Methods in Financial Engineering (geometric Brownian motion).",
    "long": {"any": [
        _is(UP, ">", STRONG_UP),
        _all(_is(UP, ">", MODERATE_UP), _is("slope_10", ">", STRONG_SLOPE)),
    ]},
    "short": {"any": [
        _is(UP, "<", 1.0 - STRONG_UP),
        _all(_is(UP, "<", 1.0 - MODERATE_UP), _is("slope_10", "<", -STRONG_SLOPE)),
    ]},
    "exit_long": _is(UP, "<", AVOID_UP),
    "exit_short": _is(UP, ">", 1.0 - AVOID_UP),
}  # fmt: skip


def _until_out(stop: float) -> Document:
    """Exits of a strategy that has a stop and leaves by its own rules: neither target nor time limit of the source."""
    own = {"unit": "atr", "stop": stop, "target": NO_TARGET, "time_limit": 2000}
    return {"scalp": own, "swing": own}


TURTLE: Document = {
    "name": "turtle",
    "meaning": "Buys a close above the highest high of the 55 bars before, sells one below their lowest low, with a "
    "stop two ATR away; adds a unit after every half ATR of profit, up to four, and leaves at the opposite end of 20 "
    "bars. Here a close has to break out, ATR is of 14 bars, and the stop of the whole position rises with each unit "
    "so far that four of them never lose more than the first one could (published: half an ATR for each). A unit binds "
    "a quarter of the usual margin, so that there is room for four.",
    "source": "Donchian's channel as the Turtles traded it (System 2): Faith 2007, Way of the Turtle.",
    "long": _is("close", ">", "channel_high_55"),
    "short": _is("close", "<", "channel_low_55"),
    "exit_long": _is("close", "<", "channel_low_20"),
    "exit_short": _is("close", ">", "channel_high_20"),
    "exits": _until_out(2.0),
    "size": {"margin_share": 0.02},
    "management": {"adds": 3, "add_after": 0.25, "add_share": 1.0},  # half an ATR is a quarter of the stop distance
}

CHANDELIER: Document = {
    "name": "chandelier",
    "meaning": "Rides a trend until it gives way: enters when the close crosses its mean of 20 closes in the direction "
    "of a significant slope of 96, and leaves by a stop that hangs three ATR from the best price since the entry, from "
    "the first bar on. There is no target. Published with an ATR of 22 bars, here of 14.",
    "source": "LeBeau's Chandelier exit, in Elder 2002, Come Into My Trading Room.",
    "long": _all(_is("close", "crosses_above", "ema_20"), RISING),
    "short": _all(_is("close", "crosses_below", "ema_20"), FALLING),
    "exits": _until_out(3.0),
    "management": {"trailing": 3.0, "trailing_unit": "atr", "trailing_after": 0.0},
}

TRIPLE_SCREEN: Document = {
    "name": "triple-screen",
    "meaning": "Three screens: the tide (slope of 20 bars four times as long), a wave against it (slow stochastic "
    "under 30 in a rising tide, over 70 in a falling one), and a stop order beyond the close that only fills when the "
    "price turns back with the tide; it is set anew at every close while both screens hold. The stop goes to the "
    "entry after one stop distance of profit. The published order lies one tick beyond the bar's high or low, and the "
    "long bars are five times as long.",
    "source": "Elder 1993, Trading for a Living (Triple Screen).",
    "long": _all(_is("higher_4_slope_20", ">", 0.0), _is("stochastic_d", "<", 30.0)),
    "short": _all(_is("higher_4_slope_20", "<", 0.0), _is("stochastic_d", ">", 70.0)),
    "entry": {"order": "stop", "distance": 0.25, "bars": 1},
    "management": {"break_even_after": 1.0},
}

CLASSICS: tuple[Document, ...] = (
    {
        "name": "macd-cross",
        "meaning": "Follows a turn of momentum in the direction of the long trend: MACD(12, 26) crosses above its "
        "signal line (9) while the close is above EMA 200; mirrored below. The opposite cross closes the position, "
        "whatever the trend.",
        "source": "Appel 2005, Technical Analysis: Power Tools for Active Investors.",
        "long": _all(_is("macd", "crosses_above", "macd_signal"), UPTREND),
        "short": _all(_is("macd", "crosses_below", "macd_signal"), DOWNTREND),
        "exit_long": _is("macd", "crosses_below", "macd_signal"),
        "exit_short": _is("macd", "crosses_above", "macd_signal"),
    },
    {
        "name": "bollinger-reversion",
        "meaning": "Bets on the way back to the mean of a market without a trend (|t| of the slope of 96 closes at "
        "most 2): buys when the close comes back inside the lower Bollinger band (20, 2), sells when it comes back "
        "inside the upper one, and leaves at the middle band.",
        "source": "Bollinger 2001, Bollinger on Bollinger Bands, method III (reversals).",
        **_REVERSION,
        "exit_long": _is("close", ">=", "sma_20"),
        "exit_short": _is("close", "<=", "sma_20"),
    },
    {
        "name": "zscore-scalp",
        "meaning": "A quick bet on the way back: the close stands more than two standard deviations from the mean of "
        "20 closes, in a market without a trend, and the bar itself already closes in the half that points back. "
        "Leaves when the Z-score is back at nought.",
        "source": "Chan 2013, Algorithmic Trading (mean reversion by Z-score of a moving window).",
        "long": _all(_is("zscore_20", "<", -STRONG_Z), RANGING, _is("buy_pressure", ">", 0.0)),
        "short": _all(_is("zscore_20", ">", STRONG_Z), RANGING, _is("buy_pressure", "<", 0.0)),
        "exit_long": _is("zscore_20", ">=", 0.0),
        "exit_short": _is("zscore_20", "<=", 0.0),
    },
    {
        "name": "breakout",
        "meaning": "Trades the end of a quiet time: within the last twelve bars the volatility of twelve returns was "
        "below three quarters of that of 96, and now the close leaves the Bollinger bands (20, 2) with one and a half "
        "times the usual volume. Leaves when the close is back at the middle band.",
        "source": "Bollinger 2001, Bollinger on Bollinger Bands, method I (volatility breakout).",
        "long": _all(
            {"within": 12, "of": _is("volatility_ratio", "<", 0.75)},
            _is("close", "crosses_above", "bollinger_upper"), _is("relative_volume_20", ">", 1.5),
        ),
        "short": _all(
            {"within": 12, "of": _is("volatility_ratio", "<", 0.75)},
            _is("close", "crosses_below", "bollinger_lower"), _is("relative_volume_20", ">", 1.5),
        ),
        "exit_long": _is("close", "<", "sma_20"),
        "exit_short": _is("close", ">", "sma_20"),
    },
    {
        "name": "momentum",
        "meaning": "Goes with a trend that is running: the slope of 96 closes is significant (t above 2), that of ten "
        "closes is strong (above 0.5 per mille of price per bar), and the return of 96 bars has the same sign. Leaves "
        "when the short slope turns.",
        "source": "Moskowitz, Ooi & Pedersen 2012, Time series momentum, Journal of Financial Economics 104.",
        **_MOMENTUM,
        "exit_long": _is("slope_10", "<", 0.0),
        "exit_short": _is("slope_10", ">", 0.0),
    },
    MONTE_CARLO,
    TURTLE,
    CHANDELIER,
    TRIPLE_SCREEN,
    {
        "name": "trend-or-range",
        "meaning": "Two strategies in one, chosen by the state of the market: momentum while the slope of 96 closes is "
        "significant, the way back inside the Bollinger bands while it is not. Two of three must confirm: the bar "
        "closes in the half that points that way, its volume is at least usual, and the bar before did not point the "
        "other way by more than two deviations.",
        "source": "Kaufman 2013, Trading Systems and Methods (systems by the state of the market).",
        "long": _all(
            {"any": [_MOMENTUM["long"], _REVERSION["long"]]},
            {"at_least": 2, "of": [
                _is("buy_pressure", ">", 0.0), _is("relative_volume_20", ">=", 1.0),
                {"before": 1, "of": _is("zscore_20", ">=", -STRONG_Z)},
            ]},
        ),
        "short": _all(
            {"any": [_MOMENTUM["short"], _REVERSION["short"]]},
            {"at_least": 2, "of": [
                _is("buy_pressure", "<", 0.0), _is("relative_volume_20", ">=", 1.0),
                {"before": 1, "of": _is("zscore_20", "<=", STRONG_Z)},
            ]},
        ),
    },
    {
        "name": "ensemble",
        "meaning": "Trades the forecast of the model ensemble: the side with the higher expected value after costs.",
        "source": "Dietterich 2000, Ensemble methods in machine learning; the models' own folds say what it is worth.",
        "kind": "ensemble",
        "threshold": ENSEMBLE_THRESHOLD,
    },
    {
        **RSI_OVERSOLD,
        "name": "auto",
        "meaning": "Trades rsi-oversold until a promoted model covers the bar, the ensemble's forecast from then on.",
        "kind": "auto",
        "threshold": ENSEMBLE_THRESHOLD,
    },
    {
        **RSI_OVERSOLD,
        "name": "rsi-confirmed",
        "meaning": "rsi-oversold with a second opinion: its signal is taken only where the ensemble takes the same "
        "side, that is, gives it the higher expected value after costs, and that positive.",
        "kind": "combined",
        "combine": "agree",
        "threshold": ENSEMBLE_THRESHOLD,
    },
    {
        "name": "ensemble-with-trend",
        "meaning": "The ensemble's forecast, never against the long trend: long only above EMA 200, short only below.",
        "source": "Meta-rule over a forecast; the filter is the one of rsi-oversold.",
        "kind": "combined",
        "combine": "filter",
        "long": UPTREND,
        "short": DOWNTREND,
        "threshold": ENSEMBLE_THRESHOLD,
    },
)  # fmt: skip
