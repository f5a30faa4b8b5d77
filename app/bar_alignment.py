"""Bars of single symbols as bars of all of them: which ones everybody has, and how long a slow symbol is waited for."""

from __future__ import annotations

from collections.abc import Collection, Iterable


class BarAlignment:
    """The newest bar that may be given out. It waits for no clock; whoever drives it says what time it is.

    A symbol that stays behind another one for ``patience_ms`` is left out until it has caught up: one symbol's trouble
    must not keep the others from their bars, and one that is merely asked last must not lose any of its own.

    Args:
        last_ms: open time of the last bar already given out.
    """

    def __init__(self, symbols: Iterable[str], last_ms: int, patience_ms: int) -> None:
        self._seen = dict.fromkeys(symbols, last_ms)
        self._behind: dict[str, int] = {}  # since when, by the clock of the exchange
        self._patience_ms = patience_ms

    def hear(self, symbol: str, open_time: int, now_ms: int) -> None:
        """The symbol has its bars up to ``open_time``."""
        self._seen[symbol] = open_time
        newest = max(self._seen.values())
        for name, seen in self._seen.items():
            if seen >= newest:
                self._behind.pop(name, None)
            else:
                self._behind.setdefault(name, now_ms)

    def ready_ms(self, now_ms: int, ended: Collection[str]) -> int:
        """Open time of the newest bar that nobody has to be waited for; ``ended`` symbols may never show it."""
        followed = [name for name in self._seen if name not in ended] or list(self._seen)
        awaited = [self._seen[name] for name in followed if not self._given_up(name, now_ms)]
        return min(awaited) if awaited else max(self._seen[name] for name in followed)

    def due_ms(self, now_ms: int, ended: Collection[str]) -> int | None:
        """When the next symbol is no longer waited for; ``None``: nobody is behind."""
        waits = [
            since + self._patience_ms
            for name, since in self._behind.items()
            if name not in ended and not self._given_up(name, now_ms)
        ]
        return min(waits, default=None)

    def _given_up(self, name: str, now_ms: int) -> bool:
        since = self._behind.get(name)
        return since is not None and now_ms - since >= self._patience_ms
