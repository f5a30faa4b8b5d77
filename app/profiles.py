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
MEMBERS = ("logistic", "random_forest", "hist_boosting", "xgboost", "lightgbm")  # CatBoost is an extra
SAFETY = MappingProxyType({  # the limits that the designs share
    "trading.limits.margin_share": 0.08, "trading.limits.max_leverage": 5.0, "trading.limits.exchange_leverage": 20.0,
    "trading.limits.loss_at_stop": 0.02, "trading.limits.daily_loss": 0.02, "trading.limits.daily_trades": 15,
    "trading.limits.loss_streak": 8, "trading.limits.drawdown": 0.05, "trading.limits.sharpe": 0.5,
    "trading.limits.black_swan": 3.0, "trading.limits.black_swan_action": "block",
    "trading.sizing.risk_share": 0.02, "trading.sizing.margin_share": 0.08, "trading.sizing.leverage": 5.0,
    "trading.sizing.beyond_limits": "cut", "trading.sizing.drawdown_floor": 1.0,
    "trading.sizing.correlation_above": 0.5, "trading.sizing.regime_factors": (1.0,) * 7,
})  # fmt: skip
PORTFOLIO = MappingProxyType({  # everything held together, and the market that orders meet
    "trading.limits.var_method": "historical", "trading.limits.var_days": 250, "trading.limits.var_min_days": 60,
    "trading.limits.value_at_risk": 0.02, "trading.limits.shortfall": 0.025, "trading.limits.open_risk": 0.02,
    "trading.limits.exposure": 1.0, "trading.limits.concentration": 0.5, "trading.limits.correlation": 0.8,
    "trading.limits.depth_share": 0.10, "trading.limits.spread_share": 0.10, "trading.limits.quote_age_s": 5.0,
    "trading.limits.held": "reduce", "trading.limits.held_room": 0.10, "trading.limits.tighten_factor": 0.5,
    "trading.limits.tighten_drawdown": 0.5, "trading.limits.tighten_day": 1.0, "trading.limits.tighten_floor": 0.25,
})  # fmt: skip
ORDERS = MappingProxyType({  # every design enters at the next open, each position on its own margin
    "trading.matching.entry": "market", "trading.matching.entry_rest": "cancel",
    "trading.matching.margin_mode": "isolated", "trading.matching.stop_trigger": "last",
    "trading.matching.target_order": "limit",
})  # fmt: skip
MODELS = MappingProxyType({  # how the designs train and what stands over a forecast; a profile that wants more says so
    "ai.enable_training": True, "ai.walk_forward_train": "6mo", "ai.walk_forward_test": "1mo",
    "ai.walk_forward_step": "1mo", "ai.members": MEMBERS, "ai.meta_model": False, "ai.regime_filter": False,
    "ai.adaptive_threshold": False, "ai.conformal_coverage": 0.0, "ai.cross_asset_symbols": (BTC, ETH),
})  # fmt: skip


MANAGEMENT = MappingProxyType({  # open positions: no level moves and no part is taken, unless a profile says so
    "trading.management.target_at": (), "trading.management.target_share": (), "trading.management.trailing": 0.0,
    "trading.management.trailing_unit": "stop", "trading.management.break_even_after": 0.0,
    "trading.management.give_back": 0.0, "trading.management.adds": 0,
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
    said = {name.replace("__", "."): value for name, value in own.items()}
    groups = ("ai.", "data.")
    return MappingProxyType({
        "data.symbols": symbols, "data.timeframe": timeframe, "run.strategy": strategy, **SAFETY, **PORTFOLIO, **ORDERS,
        "trading.limits.allowed_symbols": EIGHT, **MODELS, **MANAGEMENT,
        **{key if key.startswith(groups) else f"trading.{key}": value for key, value in said.items()},
    })  # fmt: skip


PROFILES: tuple[Profile, ...] = (
    Profile(
        "quantai",
        "An ensemble of five members that learns walk-forward (6 months, then 1) and retrains every 2,000 bars while "
        "it trades; stop 1.5 ATR, target 2.5 times the stop, on 15m bars.",
        "swing",
        _bundle("15m", (BTC,), "auto", ai__model_retrain_every_n_steps=2000),
        (
            "CatBoost is an extra: where it is installed, add it to ai.members.",
            "Sequence models (LSTM, TSMixer, PatchTST) are not built.",
        ),
    ),
    Profile(
        "weex",
        "An ensemble that trades in favourable regimes only, through a meta-model, with a threshold that rises in "
        "unusual volatility; stop and target both two standard deviations away, on 15m bars.",
        "even",
        _bundle("15m", (BTC, ETH), "auto", ai__meta_model=True, ai__regime_filter=True, ai__adaptive_threshold=True,
                data__exchange="weex", sizing__volatility_target=0.20),
        ("A model trained on another exchange is brought to WEEX by 'calibrate', which a person has to call.",),
    ),
    Profile(
        "sigma",
        "Scalping on 5m bars by 1,000 Monte-Carlo paths: up-probability over 65 %, or over 55 % with a strong slope; "
        "2 % risk at most, stop 1.5 ATR, target 2.5 times the stop; half is taken at one stop distance, from where the "
        "stop trails; safety limits on every day.",
        "swing",
        _bundle("5m", (BTC,), "monte-carlo", sizing__kelly_share=0.25, sizing__volatility_target=0.20,
                management__target_at=(1.0,), management__target_share=(0.5,), management__trailing=1.0,
                management__trailing_after=1.0, management__break_even_after=1.0),
        (
            "Strategies are not made from plain language, and there is no chat.",
            "A rule has no calibrated probability: the Kelly quarter counts only where a model strategy is chosen.",
        ),
    ),
    Profile(
        "four-layer",
        "Regime, models, signal, position: long, short or neutral by triple barriers of +1.5 % and -0.5 % within 60 "
        "minutes, on 1m bars, in regimes that have earned; from two stop distances of profit on the stop stands at the "
        "entry and half of the best profit is kept; a black swan closes every position.",
        "scalp",
        _bundle("1m", (BTC, ETH), "auto", ai__regime_filter=True, ai__meta_model=True,
                limits__black_swan_action="flatten", limits__minimum_trades=10, management__break_even_after=2.0,
                management__give_back=0.5, management__give_back_after=2.0),
        (
            "The pattern layer has no deep models (TFT, TabNet), and no learned position manager follows the signal.",
            "Order book, trade flow, open interest and liquidations are among the features only where they are stored.",
        ),
    ),
    Profile(
        "hierarchical",
        "Eight perpetuals in one account on 1h bars: the ensemble's forecast, never against the long trend, each "
        "position sized to 20 % annual volatility and smaller beside others that move with it, in a drawdown and in "
        "high volatility; VaR (99 %) at most 2 %, expected shortfall 2.5 %, open risk 2 %, gross exposure 100 % of "
        "equity; features look across to Bitcoin and Ether.",
        "swing",
        _bundle("1h", EIGHT, "ensemble-with-trend", sizing__volatility_target=0.20, sizing__drawdown_floor=0.5,
                sizing__regime_factors=(1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 1.0)),
        (
            "Reinforcement learning (strategic over tactical policy) is not built: the trend filter is a fixed rule.",
            "Smart execution (TWAP, VWAP, iceberg) is not built.",
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
