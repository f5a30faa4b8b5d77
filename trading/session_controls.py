"""What a person does to a trading session: pause, resume, halt, loosen, close; each with its entry in the audit."""

from __future__ import annotations

from trading.config import TradingConfig
from trading.execution.order_manager import OrderManager
from trading.journal import AuditEvent
from trading.outcome import halt_words
from trading.records import ExitReason
from trading.state import MANUAL_HALT, Trading, TradingState
from trading.steps import halt, loosen, resume


class SessionControls:
    """The part of a session that commands reach."""

    config: TradingConfig
    state: TradingState
    _orders: OrderManager
    _events: list[AuditEvent]
    _step: int

    @property
    def trading(self) -> Trading:
        """Whether new positions may be opened."""
        return Trading(int(self.state.account["state"][0]))

    @property
    def last_bar_ms(self) -> int | None:
        """Open time of the newest bar, committed or not."""
        last = int(self.state.account["last_bar"][0])
        return None if last < 0 else last

    @property
    def halt_words(self) -> str:
        """Why the account is halted; empty when it is not."""
        return halt_words(int(self.state.account["halt_reason"][0]))

    def _moment(self) -> int:
        last = self.last_bar_ms
        return 0 if last is None else last + self._step

    def note(self, kind: str, body: dict[str, object]) -> None:
        """Put something into the audit with the next commit, at the moment of the newest bar's close."""
        self._note(kind, body)

    def _note(self, kind: str, body: dict[str, object]) -> None:
        """Number an event: two equal commands on one bar are two events, not one said twice."""
        self.state.account["events"] += 1
        number = int(self.state.account["events"][0])
        self._events.append(AuditEvent(self._moment(), kind, {"number": number, **body}))

    def pause(self) -> None:
        """No entries; exits and protection go on. A halted account stays halted."""
        if self.trading is Trading.RUNNING:
            self.state.account["state"] = int(Trading.PAUSED)
            self._orders.cancel_entries(self._moment(), "paused")
            self._note("pause", {})

    def resume(self) -> None:
        """Open positions again; after a halt with a new base of drawdown and Sharpe, noted in the audit."""
        if self.trading is Trading.PAUSED:
            self.state.account["state"] = int(Trading.RUNNING)
            self._note("resume", {"by": "operator"})
        elif self.trading is Trading.HALTED:
            words = self.halt_words
            resume(self.state.account)
            self._note("resume", {"by": "operator", "after": words, "base": float(self.state.account["high_water"][0])})

    @property
    def tightness(self) -> float:
        """What is left of the limits on money at risk, 1 = all of them."""
        return float(self.state.account["tightness"][0])

    def loosen(self, why: str = "") -> bool:
        """A person looked: limits that tightened by themselves are as set again; False where none had."""
        before = self.tightness
        if before >= 1.0:
            return False
        loosen(self.state.account)
        self._note("loosen", {"by": "operator", "from": before, **({"why": why} if why else {})})
        return True

    def halt(self, why: str) -> None:
        """Halt by a person: entries cancelled, stops kept, only :meth:`resume` opens again."""
        if self.trading is Trading.HALTED:
            return
        moment = self._moment()
        self._orders.cancel_entries(moment, "halted")
        halt(self.state.account, self.state.positions, MANUAL_HALT, moment)
        self._note("halt", {"why": why})

    def close_position(self, symbol: str) -> bool:
        """Close one position at the next open (reason ``emergency``: by hand); False when nothing is held."""
        if symbol not in self.config.symbols:
            return False
        s = self.config.symbols.index(symbol)
        if self.state.positions["side"][s] == 0:
            return False
        self._orders.leave(s, self.state.positions[s], ExitReason.EMERGENCY, self._moment())
        self._note("close", {"symbol": symbol, "by": "operator"})
        return True

    def flatten(self) -> int:
        """Close every position at the next open (reason ``emergency``) and pause; how many there are."""
        self.pause()
        held = [s for s in range(len(self.config.symbols)) if self.state.positions["side"][s] != 0]
        for s in held:
            self._orders.leave(s, self.state.positions[s], ExitReason.EMERGENCY, self._moment())
        self._note("flatten", {"positions": len(held)})
        return len(held)
