"""What an exchange changes about the symbols of a run that goes on: passed to the account, and told to a person."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from data.exchange.rules import RulesChange
from data.instruments import Instrument
from data.market import short_symbol
from trading.session import TradingSession

Note = Callable[[str, str, str], None]  # level, title, sentence


class RunRules:
    """Trading rules of one run on an exchange.

    Args:
        session: the run's account.
        rules: as read when the run was opened; those that the account was left under may be others.
        note: told what a person should hear of.
    """

    def __init__(self, session: TradingSession, rules: Sequence[Instrument], note: Note) -> None:
        self._session = session
        self._note = note
        for symbol in session.waiting_rules:
            self._say_waiting(symbol)
        for its in rules:
            if its.status != "trading":
                self._end(its)

    def changed(self, change: RulesChange) -> None:
        """The exchange gave other rules, or ends the trading of a symbol."""
        if not self._session.take_rules(change.after):
            self._say_waiting(change.symbol)
        if change.after.status != "trading":
            self._end(change.after)

    def bars_stopped(self, symbol: str) -> None:
        """No bar comes of a symbol whose trading the exchange ended: bad news where something is held."""
        s = self._session.config.symbols.index(symbol)
        if self._session.state.positions["side"][s] != 0:
            self._note(
                "bad", "A position cannot be closed",
                f"The exchange has ended the trading of {short_symbol(symbol)} and shows no price of it any more, "
                "while a position is open: it stays in the account at the last price.",
            )  # fmt: skip

    def _end(self, its: Instrument) -> None:
        name = short_symbol(its.symbol)
        if self._session.end_trading(its.symbol, gone=its.status == "delisted"):
            words = f"The exchange ends the trading of {name}: its position is closed at the next price."
        else:
            words = f"The exchange ends the trading of {name}: it is not entered any more."
        self._note("warn", "Trading ends", words)

    def _say_waiting(self, symbol: str) -> None:
        name = short_symbol(symbol)
        words = f"{name} holds a position: it keeps the old rules until that is closed, then the new ones hold."
        self._note("info", "Trading rules wait", words)
