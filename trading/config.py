"""What a run trades: everything the engines need to know besides the bars, the features and the forecasts."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ai.exits import ExitProfile
from data.errors import UserError
from data.instruments import Instrument
from data.timeframes import timeframe_ms
from trading.settings import TradingSettings
from trading.strategy.spec import StrategySpec, required_features

OBEYED = (
    "symbol", "tick", "lot", "min_notional", "max_leverage", "maintenance_rate", "liquidation_fee", "contract_size",
    "min_quantity", "max_quantity", "market_max_quantity",
)  # fmt: skip
OnHalt = Literal["stop", "next-day", "next-month"]
ON_HALT: tuple[OnHalt, ...] = ("stop", "next-day", "next-month")


def obeyed(rules: Instrument) -> dict[str, Any]:
    """What orders obey of the rules, as plain JSON values; status, fees, tiers and origin are not among it."""
    document = rules.document()
    return {name: document[name] for name in OBEYED}


def changed_rules(before: Instrument, after: Instrument) -> dict[str, dict[str, Any]]:
    """``before`` and ``after`` of what orders obey, by name, only what differs; empty: nothing does."""
    old, new = obeyed(before), obeyed(after)
    names = [name for name in OBEYED if old[name] != new[name]]
    return {"before": {n: old[n] for n in names}, "after": {n: new[n] for n in names}} if names else {}


@dataclass(frozen=True, slots=True)
class TradingConfig:
    """One run. ``enforce``: gates block and halt; False evaluates them only (``--gates observe``).

    ``on_halt`` other than ``stop`` is for back-tests. ``in_force`` is what the engines read: ``settings``, and in their
    place what the strategy carries of size, management and entry order itself.
    """

    symbols: tuple[str, ...]  # unified, in the fixed order in which they are traded
    timeframe: str
    strategy: StrategySpec
    profile: ExitProfile
    instruments: tuple[Instrument, ...]  # one per symbol
    settings: TradingSettings = field(default_factory=TradingSettings)
    enforce: bool = True
    on_halt: OnHalt = "stop"
    seed: int = 7
    strict: bool = False  # what a gate cannot measure blocks (live)
    in_force: TradingSettings = field(init=False, repr=False, compare=False)  # settings with what the strategy carries

    def __post_init__(self) -> None:
        object.__setattr__(self, "in_force", self.strategy.in_force(self.settings))
        timeframe_ms(self.timeframe)
        if not self.symbols or len(set(self.symbols)) != len(self.symbols):
            raise UserError("A run needs at least one symbol, each given once.")
        if tuple(rules.symbol for rules in self.instruments) != self.symbols:
            raise UserError("A run needs the instrument rules of its symbols, in their order.")
        if self.on_halt not in ON_HALT:
            raise UserError(f"Unknown --on-halt '{self.on_halt}': use one of {', '.join(ON_HALT)}.")

    @property
    def step_ms(self) -> int:
        """Length of a bar in milliseconds."""
        return timeframe_ms(self.timeframe)

    @property
    def start_equity(self) -> float:
        """Money the account starts with, in the quote currency."""
        return self.settings.paper.start_equity

    def features(self) -> tuple[str, ...]:
        """Features that the feature matrix must hold."""
        return required_features(self.strategy, self.profile)

    def digest(self) -> str:
        """Hash of everything that changes results (not of how often they are committed); 20 hexadecimal digits."""
        counted = (*OBEYED, "taker_fee", "maker_fee", "tiers")
        documents = [rules.document() for rules in self.instruments]
        return self._hash({"instruments": [{name: document[name] for name in counted} for document in documents]})

    def identity(self) -> str:
        """As :meth:`digest`, the trading rules apart: an exchange may change them, and the run stays the same one."""
        return self._hash({})

    def with_instrument(self, s: int, rules: Instrument) -> TradingConfig:
        """The same run with other trading rules of its symbol ``s``."""
        return replace(self, instruments=(*self.instruments[:s], rules, *self.instruments[s + 1 :]))

    def _hash(self, more: dict[str, Any]) -> str:
        document = {
            "symbols": self.symbols,
            "timeframe": self.timeframe,
            "strategy": self.strategy.model_dump(mode="json", exclude={"meaning", "source"}),  # words change nothing
            "profile": asdict(self.profile),
            "settings": self.in_force.model_dump(mode="json", exclude={"paper": {"batch_bars"}}),
            "enforce": self.enforce,
            "on_halt": self.on_halt,
            "seed": self.seed,
            **({"strict": True} if self.strict else {}),
            **more,
        }
        text = json.dumps(document, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
