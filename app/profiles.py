"""Profiles: each of the five designs that this program unites, as one named bundle of settings and exits.

A bundle holds what the present settings can say of its design, equal to a default or not, so that it means the same
whatever a person has changed; what they cannot say yet stands beside it in plain words.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from data.errors import UserError

if TYPE_CHECKING:
    from app.options import RunOptions

Document = dict[str, Any]
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
EIGHT = (BTC, ETH, *(f"{coin}/USDT:USDT" for coin in ("SOL", "XRP", "BNB", "ADA", "DOGE", "LTC")))
MEMBERS = ("logistic", "xgboost", "lightgbm")
SAFETY = MappingProxyType({  # the limits that the designs share
    "trading.limits.margin_share": 0.08, "trading.limits.max_leverage": 5.0, "trading.limits.exchange_leverage": 20.0,
    "trading.limits.loss_at_stop": 0.02, "trading.limits.daily_loss": 0.02, "trading.limits.daily_trades": 15,
    "trading.limits.loss_streak": 8, "trading.limits.drawdown": 0.05, "trading.limits.sharpe": 0.5,
    "trading.limits.black_swan": 3.0, "trading.limits.black_swan_action": "block",
    "trading.sizing.risk_share": 0.02, "trading.sizing.margin_share": 0.08, "trading.sizing.leverage": 5.0,
})  # fmt: skip
WALK_FORWARD = MappingProxyType({
    "ai.enable_training": True, "ai.walk_forward_train": "6mo", "ai.walk_forward_test": "1mo",
    "ai.walk_forward_step": "1mo",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """A named bundle. ``settings`` are values by dotted key; ``exit_profile`` is that of ``--exit-profile``."""

    name: str
    sentence: str
    exit_profile: str
    settings: Mapping[str, object]
    not_yet: tuple[str, ...]  # what of the design this program cannot express yet

    def options(self, options: RunOptions) -> RunOptions:
        """The options of a run under this profile; what was said explicitly stays."""
        return replace(options, profile=self.name, exit_profile=options.exit_profile or self.exit_profile)


def _bundle(timeframe: str, symbols: tuple[str, ...], strategy: str, **own: object) -> Mapping[str, object]:
    """What every profile says, and its own; ``limits__drawdown`` is ``trading.limits.drawdown``."""
    trading = {f"trading.{name.replace('__', '.')}": v for name, v in own.items() if not name.startswith("ai__")}
    models = {name.replace("__", "."): v for name, v in own.items() if name.startswith("ai__")}
    return MappingProxyType({
        "data.symbols": symbols, "data.timeframe": timeframe, "run.strategy": strategy, **SAFETY,
        "trading.limits.allowed_symbols": EIGHT, **WALK_FORWARD, **models, **trading,
    })  # fmt: skip


PROFILES: tuple[Profile, ...] = (
    Profile(
        "quantai",
        "An ensemble that learns walk-forward (6 months, then 1) and retrains while it trades; stop 1.5 ATR, target "
        "2.5 times the stop, on 15m bars.",
        "swing",
        _bundle("15m", (BTC,), "auto", ai__members=MEMBERS, ai__model_retrain_every_n_steps=2000),
        (
            "Random forest, histogram boosting and CatBoost are not among the members.",
            "Sequence models (LSTM, TSMixer, PatchTST) are not built.",
        ),
    ),
    Profile(
        "weex",
        "An ensemble whose stop and target both stand two standard deviations away, so that they follow volatility, "
        "on 15m bars.",
        "even",
        _bundle("15m", (BTC, ETH), "auto", ai__members=MEMBERS, sizing__volatility_target=0.20),
        (
            "The filter that trades in favourable regimes only, and the meta-model behind it, are not built.",
            "Thresholds do not move with volatility, only the exits do.",
            "A model trained on other exchanges is not calibrated to one; bars come from Binance, not from WEEX.",
        ),
    ),
    Profile(
        "sigma",
        "Scalping by a rule on 5m bars: 2 % risk at most, stop 1.5 ATR, target 2.5 times the stop, safety limits on "
        "every day.",
        "swing",
        _bundle("5m", (BTC,), "rsi-oversold", sizing__kelly_share=0.25, sizing__volatility_target=0.20),
        (
            "The rule is rsi-oversold: no strategy reads the Monte-Carlo probability of 1,000 paths.",
            "Strategies are not made from plain language, and there is no chat.",
            "Stop and target do not trail, and the target is not taken in parts.",
        ),
    ),
    Profile(
        "four-layer",
        "Long, short or neutral by triple barriers of +1.5 % and -0.5 % within 60 minutes, on 1m bars; a black swan "
        "closes every position.",
        "scalp",
        _bundle("1m", (BTC, ETH), "auto", ai__members=MEMBERS, limits__black_swan_action="flatten",
                limits__minimum_trades=10),
        (
            "Of its layers there is one: no regime classifier, no pattern models (TFT, TabNet), no learned position "
            "manager.",
            "Order book, trade flow, open interest and liquidations are not among the features.",
        ),
    ),
    Profile(
        "hierarchical",
        "Eight perpetuals in one account on 1h bars, each sized to 20 % annual volatility; stop 1.5 ATR, target 2.5 "
        "times the stop.",
        "swing",
        _bundle("1h", EIGHT, "auto", ai__members=MEMBERS, sizing__volatility_target=0.20,
                limits__black_swan_action="halt"),
        (
            "There are no portfolio gates (VaR, expected shortfall, correlation, concentration): each symbol is "
            "limited by itself.",
            "Sizes are not scaled by the correlation between symbols, and features do not look across them.",
            "Reinforcement learning (strategic over tactical policy) and smart execution (TWAP, VWAP, iceberg) are not "
            "built.",
            "News, sentiment and on-chain series are not read.",
        ),
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Profile] = MappingProxyType({p.name: p for p in PROFILES})


def profile(name: str) -> Profile:
    """The profile of this name.

    Raises:
        UserError: there is none.
    """
    found = BY_NAME.get(name)
    if found is None:
        close = difflib.get_close_matches(name, BY_NAME, 1)
        hint = f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(BY_NAME)}."
        raise UserError(f"Unknown profile '{name}': {hint}")
    return found


def overlay(name: str | None) -> Mapping[str, object]:
    """Settings by dotted key that a run under the profile begins with; none without a name.

    Raises:
        UserError: no such profile.
    """
    return {} if name is None else profile(name).settings


def listed() -> Document:
    """Every profile at one glance."""
    return {
        "profiles": [
            {
                "name": p.name, "sentence": p.sentence, "strategy": p.settings["run.strategy"],
                "timeframe": p.settings["data.timeframe"], "symbols": p.settings["data.symbols"],
                "exit_profile": p.exit_profile,
            }
            for p in PROFILES
        ]
    }  # fmt: skip


def shown(name: str) -> Document:
    """One profile, whole: its settings with unit and default, its exits in numbers, and what is missing.

    Raises:
        UserError: no such profile.
    """
    from ai.exits import exit_profile
    from app.settings import load

    found = profile(name)
    rows = {str(row["key"]): row for row in load(None, {}, {}, found.settings).describe()}
    exits = exit_profile(found.exit_profile, str(found.settings["data.timeframe"]))
    return {
        "profile": name, "sentence": found.sentence, "strategy": found.settings["run.strategy"],
        "exits": {
            "profile": exits.name, "stop": exits.stop, "unit": exits.unit.name.lower(),
            "target_ratio": exits.target_ratio, "limit_bars": exits.limit_bars,
        },
        "settings": [{k: rows[key][k] for k in ("key", "value", "unit", "default")} for key in found.settings],
        "not_expressed": list(found.not_yet),
    }  # fmt: skip
