"""The trading floor's own settings: costs, limits, sizes, and the paper account. Frozen; unknown names are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ALLOWED_SYMBOLS = (
    "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT", "XRP/USDT:USDT",
    "BNB/USDT:USDT", "ADA/USDT:USDT", "DOGE/USDT:USDT", "LTC/USDT:USDT",
)  # fmt: skip


_Factor = Annotated[float, Field(ge=0.0, le=1.0)]


class Group(BaseModel):
    """A frozen group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _number(default: float, low: float, high: float, unit: str, words: str) -> Any:
    return Field(default, ge=low, le=high, description=words, json_schema_extra={"unit": unit})


class CostSettings(Group):
    """What a fill costs."""

    taker_fee: float = _number(0.0005, 0.0, 0.01, "fraction of notional", "Taker fee where the symbol's is unknown.")
    maker_fee: float = _number(0.0002, 0.0, 0.01, "fraction of notional", "Maker fee where the symbol's is unknown.")
    spread: float = _number(0.0001, 0.0, 0.05, "fraction of price", "Bid-ask spread; a taker fill pays half of it.")
    impact: float = _number(
        0.1, 0.0, 10.0, "factor", "Market impact k: a taker fill pays k × σ × √(quantity / bar volume), σ per bar."
    )  # fmt: skip
    volume_share: float = _number(
        0.10, 0.0001, 1.0, "fraction of bar volume", "Most of a bar's volume an entry may take; the rest is cancelled."
    )


class MatchingSettings(Group):
    """How orders meet the bars."""

    entry: Literal["market", "limit", "stop"] = Field(
        default="market", json_schema_extra={"unit": "name"},
        description="Order that opens a position: at the next open; a resting limit (post-only, maker) nearer to the "
        "stop than the close; or a stop order beyond the close.",
    )  # fmt: skip
    entry_distance: float = _number(
        0.25, 0.0, 10.0, "stop distances", "Distance from the close to the level of a limit or stop entry."
    )
    entry_bars: int = Field(
        default=1, ge=1, le=10_000, description="Bars for which an entry order works before it expires.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip
    entry_rest: Literal["cancel", "work"] = Field(
        default="cancel", json_schema_extra={"unit": "name"},
        description="What the volume share leaves of an entry: cancelled, or working on until the entry expires.",
    )  # fmt: skip
    exit_fill: Literal["whole", "volume"] = Field(
        default="whole", json_schema_extra={"unit": "name"},
        description="Market exits: whole whatever the volume, or at most the volume share of each bar, bar after bar.",
    )  # fmt: skip
    both_touched: Literal["stop", "finer"] = Field(
        default="stop", json_schema_extra={"unit": "name"},
        description="Stop and target within one bar: the stop counts, or finer bars say the order where stored.",
    )  # fmt: skip
    stop_trigger: Literal["last", "mark"] = Field(
        default="last", json_schema_extra={"unit": "name"},
        description="Price that stops, levels that move and market targets are tested on; a market order that the mark "
        "price triggers within a bar fills at the bar's worst last price.",
    )  # fmt: skip
    target_order: Literal["limit", "market"] = Field(
        default="limit", json_schema_extra={"unit": "name"},
        description="Targets rest as limits (maker, need trade-through), or close at market when touched (taker).",
    )  # fmt: skip
    margin_mode: Literal["isolated", "cross"] = Field(
        default="isolated", json_schema_extra={"unit": "name"},
        description="Whether a position is backed by its own margin or by the whole account.",
    )  # fmt: skip


class ManagementSettings(Group):
    """What happens to an open position; 0 or empty: off. Levels move at a bar's close, and to the safer side only."""

    target_at: tuple[float, ...] = Field(
        default=(), max_length=3, json_schema_extra={"unit": "stop distances"},
        description="Partial targets before the plan's own, by rising distance from the entry.",
    )  # fmt: skip
    target_share: tuple[float, ...] = Field(
        default=(), max_length=3, json_schema_extra={"unit": "fraction of the quantity"},
        description="What each partial target closes; all of it together leaves nothing to the plan's target.",
    )  # fmt: skip
    trailing: float = _number(0.0, 0.0, 100.0, "stop distances or ATR", "Distance of the trailing stop; 0: off.")
    trailing_unit: Literal["stop", "atr"] = Field(
        default="stop", description="What the trailing distance is a multiple of.", json_schema_extra={"unit": "name"}
    )
    trailing_after: float = _number(1.0, 0.0, 100.0, "stop distances", "Best profit from which the stop trails.")
    break_even_after: float = _number(
        0.0, 0.0, 100.0, "stop distances", "Best profit from which the stop stands at entry plus costs; 0: off."
    )  # fmt: skip
    give_back: float = _number(
        0.0, 0.0, 1.0, "fraction of the best profit", "Most of the best unrealised profit that is given back; 0: off."
    )
    give_back_after: float = _number(1.0, 0.0, 100.0, "stop distances", "Best profit from which that holds.")
    adds: int = Field(
        default=0, ge=0, le=5, description="How often a winning position is added to; 0: never.",
        json_schema_extra={"unit": "times"},
    )  # fmt: skip
    add_after: float = _number(1.0, 0.01, 100.0, "stop distances", "Profit at a close before each further addition.")
    add_share: float = _number(0.5, 0.01, 1.0, "fraction of the first quantity", "Quantity of each addition.")

    @model_validator(mode="after")
    def _targets_in_order(self) -> ManagementSettings:
        at, share = self.target_at, self.target_share
        if len(at) != len(share):
            raise ValueError("target_at and target_share need one number each for every partial target: set both")
        if any(not before < here for before, here in zip((0.0, *at), at, strict=False)):
            raise ValueError("target_at: distances must be positive and rise")
        if any(not 0.0 < part <= 1.0 for part in share) or sum(share) > 1.0 + 1e-9:
            raise ValueError("target_share: shares must be over 0 and sum to 1 at most")
        return self

    @property
    def active(self) -> bool:
        """Whether levels may move after the entry."""
        return self.trailing > 0.0 or self.break_even_after > 0.0 or self.give_back > 0.0


class LimitSettings(Group):
    """What the gates ask of every plan."""

    margin_share: float = _number(0.08, 0.001, 1.0, "fraction of equity", "Most initial margin one symbol may bind.")
    max_leverage: float = _number(5.0, 1.0, 125.0, "×", "Highest leverage (notional / margin) of a position.")
    exchange_leverage: float = _number(
        20.0, 1.0, 125.0, "×", "Highest leverage the rules allow; the exchange's own tier may be lower."
    )
    loss_at_stop: float = _number(
        0.02, 0.0001, 1.0, "fraction of equity", "Most that one position may lose at its stop, costs included."
    )
    daily_loss: float = _number(
        0.02, 0.0001, 1.0, "fraction of equity", "Most a UTC day may lose, unrealised included, before entries stop."
    )  # fmt: skip
    daily_trades: int = Field(
        default=15, ge=1, le=100_000, description="Most filled entries of the account in one UTC day.",
        json_schema_extra={"unit": "trades"},
    )  # fmt: skip
    loss_streak: int = Field(
        default=8, ge=1, le=1000, description="Most closed losing trades in a row within one UTC day.",
        json_schema_extra={"unit": "trades"},
    )  # fmt: skip
    drawdown: float = _number(
        0.05, 0.001, 1.0, "fraction of the high-water mark", "Deepest drawdown before trading halts."
    )
    sharpe: float = _number(
        0.5, -10.0, 10.0, "a year", "Trading halts when the rolling Sharpe ratio is below this with 95 % confidence."
    )
    sharpe_min_days: int = Field(
        default=30, ge=2, le=90, description="Days of returns before the Sharpe ratio is measured.",
        json_schema_extra={"unit": "days"},
    )  # fmt: skip
    sharpe_min_trades: int = Field(
        default=50, ge=1, le=100_000, description="Closed trades in those days before the Sharpe ratio is measured.",
        json_schema_extra={"unit": "trades"},
    )  # fmt: skip
    black_swan: float = _number(
        3.0, 1.0, 100.0, "× its 30-day median", "One-hour realised volatility above which no position is opened."
    )
    black_swan_action: Literal["block", "halt", "flatten"] = Field(
        default="block", json_schema_extra={"unit": "name"},
        description="Above that volatility: block entries while it lasts, halt until a person resumes, or halt and "
        "close every position.",
    )  # fmt: skip
    var_method: Literal["historical", "normal", "cornish-fisher"] = Field(
        default="historical", json_schema_extra={"unit": "name"},
        description="How value at risk and expected shortfall are made of daily returns: by their own worst days, by "
        "the normal distribution, or by it bent to their skewness and kurtosis.",
    )  # fmt: skip
    var_days: int = Field(
        default=250, ge=30, le=500, description="Daily returns that both look back on.",
        json_schema_extra={"unit": "days"},
    )  # fmt: skip
    var_min_days: int = Field(
        default=60, ge=20, le=500, description="Daily returns below which both are not measured.",
        json_schema_extra={"unit": "days"},
    )  # fmt: skip
    value_at_risk: float = _number(
        0.02, 0.0001, 1.0, "fraction of equity", "Highest value at risk (99 %, one day) of everything held."
    )
    shortfall: float = _number(
        0.025, 0.0001, 1.0, "fraction of equity", "Highest expected shortfall (97.5 %, one day) of everything held."
    )
    open_risk: float = _number(
        0.02, 0.0001, 1.0, "fraction of equity", "Most to lose if the stops of all positions are hit, costs included."
    )
    exposure: float = _number(1.0, 0.01, 125.0, "fraction of equity", "Highest gross notional of all positions.")
    concentration: float = _number(
        0.5, 0.01, 125.0, "fraction of equity", "Highest notional of one symbol, whatever its margin."
    )
    correlation: float = _number(
        0.8, 0.0, 1.0, "ρ",
        "Positions of one direction whose daily returns of 90 days are correlated beyond this share one margin limit.",
    )  # fmt: skip
    depth_share: float = _number(
        0.10, 0.0001, 1.0, "fraction of depth", "Largest order against the ten best levels of the book."
    )
    spread_share: float = _number(
        0.10, 0.0001, 1.0, "fraction of the stop distance", "Widest bid-ask spread at which a position is opened."
    )
    quote_age_s: float = _number(5.0, 0.1, 3600.0, "s", "Oldest quote on which a position is opened.")
    held: Literal["reduce", "mark"] = Field(
        default="reduce", json_schema_extra={"unit": "name"},
        description="When what is held passes a portfolio limit: it is reduced to the limit at the next open, worst "
        "contribution first, or nothing is done.",
    )  # fmt: skip
    held_room: float = _number(
        0.10, 0.0, 1.0, "fraction of the limit", "How far what is held may pass a limit before it is reduced to it."
    )
    tighten_factor: float = _number(
        0.5, 0.05, 1.0, "factor", "What a step of tightening leaves of the limits on money at risk; 1: never tighten."
    )
    tighten_drawdown: float = _number(
        0.5, 0.0, 1.0, "fraction of the drawdown limit", "Drawdown beyond which the limits tighten once; 0: never."
    )
    tighten_day: float = _number(
        1.0, 0.0, 10.0, "fraction of the daily loss limit", "Loss of a UTC day that tightens limits a step; 0: none."
    )  # fmt: skip
    tighten_floor: float = _number(0.25, 0.05, 1.0, "factor", "What tightening leaves of the limits at least.")
    minimum_trades: int = Field(
        default=10, ge=0, le=100_000, description="Trades the compliance report asks for; a counter, never a gate.",
        json_schema_extra={"unit": "trades"},
    )  # fmt: skip
    allowed_symbols: tuple[str, ...] = Field(
        default=ALLOWED_SYMBOLS, max_length=500, description="Symbols that may be traded.",
        json_schema_extra={"unit": "symbols"},
    )  # fmt: skip


class SizingSettings(Group):
    """How large a position may be: the smallest of these, rounded down to the lot."""

    risk_share: float = _number(0.02, 0.0001, 0.5, "fraction of equity", "Most to lose at the stop, costs included.")
    kelly_share: float = _number(
        0.25, 0.0, 1.0, "fraction of the Kelly bet", "Part of the Kelly fraction that is used (model strategies)."
    )
    volatility_target: float = _number(
        0.20, 0.001, 5.0, "a year", "Annual volatility one position may bring to the account."
    )
    margin_share: float = _number(
        0.08, 0.001, 1.0, "fraction of equity", "Initial margin that sizing binds at most for one symbol."
    )
    leverage: float = _number(5.0, 1.0, 125.0, "×", "Leverage a position is opened with.")
    beyond_limits: Literal["cut", "block"] = Field(
        default="cut", json_schema_extra={"unit": "name"},
        description="A size beyond what the gates allow is cut down to it, or stays as it is and is blocked.",
    )  # fmt: skip
    drawdown_floor: float = _number(
        1.0, 0.0, 1.0, "factor", "Size at the drawdown limit, falling from 1 at none in a straight line; 1: off."
    )
    correlation_above: float = _number(
        0.5, 0.0, 1.0, "ρ",
        "Size is divided by 1 + Σ|ρ| over positions of one direction correlated beyond this; 1: off.",
    )  # fmt: skip
    regime_factors: tuple[_Factor, ...] = Field(
        default=(1.0,) * 7, min_length=7, max_length=7, json_schema_extra={"unit": "factor"},
        description="Factor of the size in each market state the models name: strong_down down range up strong_up "
        "high_volatility low_volatility.",
    )  # fmt: skip


class PaperSettings(Group):
    """The simulated account."""

    start_equity: float = _number(10_000.0, 1.0, 1e12, "quote currency", "Money the account starts with.")
    batch_bars: int = Field(
        default=2000, ge=1, le=100_000, description="Bars that are committed to the journal in one transaction.",
        json_schema_extra={"unit": "bars"},
    )  # fmt: skip


class TradingSettings(Group):
    """Everything the trading floor can be told."""

    costs: CostSettings = Field(default=CostSettings(), description="What a fill costs.")
    matching: MatchingSettings = Field(default=MatchingSettings(), description="How orders meet the bars.")
    management: ManagementSettings = Field(
        default=ManagementSettings(), description="What happens to an open position."
    )
    limits: LimitSettings = Field(default=LimitSettings(), description="What the gates ask of every plan.")
    sizing: SizingSettings = Field(default=SizingSettings(), description="How large a position may be.")
    paper: PaperSettings = Field(default=PaperSettings(), description="The simulated account.")
