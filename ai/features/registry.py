"""Every feature, declared once: names, meaning, look-back. Order here is the order of the engine's full row."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ai.features.calendar import CALENDAR
from ai.features.channels import CHANNELS
from ai.features.cross import CROSS_SPECS
from ai.features.derivatives import FUNDING
from ai.features.higher import HIGHER
from ai.features.indicators import AVERAGES, BANDS, OSCILLATORS
from ai.features.order_flow import BOOK, FLOW_SPECS
from ai.features.positioning import BASIS, INTEREST_SPECS, RATIO_SPECS
from ai.features.returns import RETURN_SPECS
from ai.features.shock import SHOCK
from ai.features.simulated import MONTE_CARLO
from ai.features.spec import FeatureSpec
from ai.features.trend import DIRECTION, TREND
from ai.features.volatility import VOLATILITY
from ai.features.volume import VOLUME_SPECS
from ai.schema import FeatureSchema
from data.beside import BESIDE
from data.errors import UserError
from data.timeframes import HOUR_MS, timeframe_ms

PRICE: tuple[FeatureSpec, ...] = (
    *(
        FeatureSpec(name, "price", 1, "price", f"{name} of the bar", (name,), "the candle")
        for name in ("open", "high", "low", "close")
    ),
    FeatureSpec("volume", "price", 1, "base units", "volume of the bar", ("volume",), "the candle"),
)

GROUPS: tuple[tuple[FeatureSpec, ...], ...] = (
    PRICE, AVERAGES, BANDS, OSCILLATORS, DIRECTION, TREND, RETURN_SPECS, VOLATILITY, VOLUME_SPECS, CALENDAR, FUNDING,
    SHOCK, BASIS, INTEREST_SPECS, RATIO_SPECS, BOOK, FLOW_SPECS, CROSS_SPECS,
    HIGHER, MONTE_CARLO, CHANNELS,
)  # fmt: skip
REGISTRY: tuple[FeatureSpec, ...] = tuple(spec for group in GROUPS for spec in group)
BY_NAME: dict[str, FeatureSpec] = {spec.name: spec for spec in REGISTRY}

# Left out of MODEL_FEATURES: what has a unit of price or volume, what another one holds exactly (bollinger_position
# is zscore_20), and EMA 200, which alone would lengthen the warm-up from some 700 to 2,700 bars.
_NOT_FOR_MODELS = ("bollinger_position", "ema_200_distance", "volume")
MODEL_FEATURES: tuple[str, ...] = tuple(
    spec.name for spec in REGISTRY if spec.unit != "price" and not spec.optional and spec.name not in _NOT_FOR_MODELS
)
"""Scale-free features for models. After the warm-up they are NaN only on horizon returns that reach over a gap."""

FUNDING_FEATURES: tuple[str, ...] = tuple(spec.name for spec in FUNDING)
"""Funding; NaN means missing (trees take NaN, linear models put in the training median). Not in MODEL_FEATURES."""


_SAME = ("taker_buy_share_12",)  # taker_imbalance_12 in other words
BESIDE_FEATURES: tuple[str, ...] = tuple(
    spec.name
    for group in (BASIS, INTEREST_SPECS, RATIO_SPECS, BOOK, FLOW_SPECS, CROSS_SPECS)
    for spec in group
    if spec.name not in _SAME
)
"""Basis, open interest, ratios, book, flow and other symbols. NaN means missing, as in FUNDING_FEATURES."""


def rows_beside(names: Iterable[str] | None = None) -> frozenset[str]:
    """Which rows of :class:`data.beside.Beside` the named features read (all features without names).

    Raises:
        UserError: a name is unknown.
    """
    specs = REGISTRY if names is None else [spec_of(name) for name in names]
    return frozenset(row for spec in specs for row in spec.inputs) & frozenset(BESIDE)


def spec_of(name: str) -> FeatureSpec:
    """The declaration of ``name``.

    Raises:
        UserError: no such feature.
    """
    try:
        return BY_NAME[name]
    except KeyError:
        raise UserError(f"Unknown feature '{name}': 'features list' shows the registry.") from None


def schema_of(names: Iterable[str] | None = None) -> FeatureSchema:
    """A schema of the named features in the order given (all of the registry without names).

    Raises:
        UserError: a name is unknown or comes twice.
    """
    chosen = tuple(BY_NAME) if names is None else tuple(spec_of(name).name for name in names)
    twice = {name for name in chosen if chosen.count(name) > 1}
    if twice:
        raise UserError(f"Feature '{min(twice)}' is named twice: name it once.")
    return FeatureSchema(chosen)


def lookback_bars(spec: FeatureSpec, timeframe: str) -> int:
    """Bars before a bar that its value may depend on, on this timeframe."""
    return max(spec.lookback, math.ceil(spec.hours * HOUR_MS / timeframe_ms(timeframe)))


def warmup_bars(names: Iterable[str] | None, timeframe: str) -> int:
    """Bars to run before the first value that counts: the longest look-back of ``names`` (None: the whole registry).

    Optional features (funding, black_swan_ratio, what stands beside the candles) may be missing and are not waited for.

    Raises:
        UserError: a name or the timeframe is unknown.
    """
    specs = REGISTRY if names is None else [spec_of(name) for name in names]
    timeframe_ms(timeframe)
    return max((lookback_bars(spec, timeframe) for spec in specs if not spec.optional), default=0)
