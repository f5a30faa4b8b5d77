"""An exchange's public streams as events: bounded, watched over, connected again, never ending in silence.

Each frame becomes events the moment it comes and waits in lanes until it is read; ccxt sees only what is not ours
(acknowledgements, pongs). What may have been lost is told as a :class:`StreamGap` twice: when a connection is lost
(books are void from here), and when it speaks again (what is asked over REST from here on leaves no hole).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np

from data.errors import QuantError, Rejected
from data.exchange.catalogue import quirks_of
from data.exchange.events import MarketEvent, StreamGap, Subscription
from data.exchange.health import StreamHealth
from data.exchange.limiter import Sleep
from data.exchange.reactions import translate
from data.exchange.session import ExchangeSession
from data.exchange.stream_groups import Group, is_refusal, may_be_quiet, name_of, patience_s, subscription_of
from data.exchange.stream_lanes import StreamLanes
from data.exchange.stream_sockets import ADDRESSES, Socket, StreamSockets

STEADY_S = 10.0  # a connection that lasted so long is opened again at once; a shorter one after a pause
REFUSED_S = 600.0  # what the exchange refused is asked for again after so long
QUIET = 30  # times the usual silence passes before a socket with liquidations only is opened anew
CHECKS = 4  # looks of the watchdog in the time that counts as silence


class MarketStream:
    """``async with MarketStream(session, subscriptions) as stream: events = await stream.next_batch()``.

    It never gives up and never raises for what the exchange does: :attr:`health` says how it stands. A subscription
    that the exchange refuses is named there (``stale``, ``last_trouble``) and asked for again after ten minutes.

    Args:
        session: an open session; its clock, settings and offset are used, and its ``sleep`` unless one is given.
        rng: draws the pauses between attempts.
    """

    def __init__(
        self,
        session: ExchangeSession,
        subscriptions: Iterable[Subscription],
        *,
        sleep: Sleep | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.health = StreamHealth()
        self.refused: dict[Subscription, str] = {}  # and why
        self._session = session
        self._settings = session.settings
        self._clock = session.clock
        self._sleep = sleep or session.sleep
        self._rng = rng if rng is not None else np.random.default_rng(0)
        self._quirks = quirks_of(session.settings.exchange)
        self._lanes = StreamLanes(session.settings.stream_queue, self.health)
        self._wake = asyncio.Event()
        self._heard: dict[Subscription, float] = dict.fromkeys(subscriptions, self._clock.monotonic())
        self._refused_s: dict[Subscription, float] = {}
        self._blamed: set[Subscription] = set()
        self._groups: list[Group] = []
        self._ready = self._loading = False
        self._closed = False
        self._exchange: Any = None
        self._sockets: StreamSockets | None = None
        self._watchdog: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._exchange = await asyncio.to_thread(self._session.stream_client)
        self._sockets = StreamSockets(
            self._exchange, self._clock, self._sleep, self._on_message, self._on_unreadable
        )  # fmt: skip
        self._watchdog = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End everything; what was not read yet still can be, after that ``next_batch`` raises."""
        self._closed = True
        tasks = [t for t in (self._watchdog, *(g.task for g in self._groups)) if t is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._sockets is not None:
            await self._sockets.close()
        self.health.connected = False
        self._wake.set()

    async def next_batch(self) -> list[MarketEvent]:
        """Everything that waits, oldest first; waits until there is something.

        Raises:
            Rejected: the stream is closed and everything has been read.
        """
        while not self._lanes:
            if self._closed:
                raise Rejected("The market stream is closed: use it inside its 'async with' block.")
            self._wake.clear()
            await self._wake.wait()
        return self._lanes.drain()

    def events_nowait(self) -> list[MarketEvent]:
        """Everything that waits, oldest first (``[]``: nothing)."""
        return self._lanes.drain()

    @property
    def dialling(self) -> bool:
        """Whether the exchange's symbols are being read or a socket is being opened at this moment."""
        return self._sockets is not None and (self._loading or self._sockets.dialling > 0)

    async def add(self, subscriptions: Iterable[Subscription]) -> None:
        """Listen to more."""
        new = [s for s in dict.fromkeys(subscriptions) if s not in self._heard]
        self._heard.update(dict.fromkeys(new, self._clock.monotonic()))
        if self._ready:
            self._begin(new)

    async def remove(self, subscriptions: Iterable[Subscription]) -> None:
        """Listen to less; no event of these comes any more."""
        gone = {s for s in subscriptions if s in self._heard}
        for subscription in gone:
            del self._heard[subscription]
            self._blamed.discard(subscription)
            self.refused.pop(subscription, None)
        for group in list(self._groups):
            told = [s for s in group.members if s in gone]
            if told:
                await self._shrink(group, told)
        self._note_state()

    async def _shrink(self, group: Group, gone: list[Subscription]) -> None:
        group.members = [s for s in group.members if s not in gone]
        if not group.members:
            self._groups.remove(group)
        await self._unwatch(gone)
        if not group.members and group.task is not None:
            group.task.cancel()
            await asyncio.gather(group.task, return_exceptions=True)

    async def _unwatch(self, subscriptions: Sequence[Subscription]) -> None:
        try:
            await self._quirks.unwatch(self._exchange, subscriptions)
        except Exception as error:  # a lost connection: nothing is subscribed then
            self.health.last_trouble = str(self._translated(error))

    async def _run(self) -> None:
        """Read the exchange's symbols, subscribe, and watch over the sockets."""
        failures = 0
        while not self._ready:
            self._loading = True
            try:
                await self._exchange.load_markets()
                self._ready = True
            except Exception as error:
                self._loading = False
                self.health.last_trouble = str(self._translated(error))
                failures += 1
                await self._sleep(self._pause(failures + 1))
        self._begin(list(self._heard))
        self._loading = False
        while True:
            await self._sleep(self._settings.stream_silence_s / CHECKS)
            self._look_for_silence()

    def _begin(self, subscriptions: Sequence[Subscription]) -> None:
        known = []
        for subscription in subscriptions:
            if subscription.symbol in self._exchange.markets:
                known.append(subscription)
            else:
                self._refuse(subscription, f"{self._settings.exchange} has no such symbol")
        for members in self._quirks.stream_groups(known):
            self._keep_group(members)

    def _keep_group(self, members: Sequence[Subscription]) -> None:
        group = Group(list(members))
        self._groups.append(group)
        group.task = asyncio.create_task(self._keep(group))
        self._note_state()

    async def _keep(self, group: Group) -> None:
        """Keep a group subscribed: each turn ends with its connection."""
        ADDRESSES.set(group.urls)
        task = asyncio.current_task()
        while group.members:
            try:
                await self._quirks.watch_all(self._exchange, tuple(group.members))
                await asyncio.sleep(0)
                continue
            except asyncio.CancelledError:
                if self._closed or task is None or task.cancelling():
                    raise
                why = "" if group.lost else "the connection was closed"  # ccxt cancels who waits on its socket
            except Exception as error:
                why = str(self._translated(error))
                if is_refusal(error):
                    await self._split(group, why)
                    return
            self._lose(group, why)
            for socket in self._sockets_of(group):  # open still: ccxt would not subscribe again over it
                self._give_up(socket, why)
            pause = self._pause_of(group)
            if pause:
                await self._sleep(pause)

    async def _split(self, group: Group, why: str) -> None:
        """The exchange refused a group: each member by itself shows which of them it was."""
        self._groups.remove(group)
        if len(group.members) == 1:
            self._refuse(group.members[0], why)
            await self._unwatch(group.members)
            return
        for socket in self._sockets_of(group):
            self._give_up(socket, why)
        for member in group.members:
            self._keep_group([member])

    def _refuse(self, subscription: Subscription, why: str) -> None:
        self.refused[subscription] = why
        self._refused_s[subscription] = self._clock.monotonic()
        self.health.last_trouble = f"{name_of(subscription)}: {why}"
        self._tell_gap([subscription], why)
        self._note_state()

    def _lose(self, group: Group, why: str) -> None:
        """The group's connection is gone; its members may be missing something from now on."""
        self.health.last_trouble = why or self.health.last_trouble
        if not group.lost:
            group.lost = True
            self._tell_gap(group.members, why)
        self._note_state()

    def _pause_of(self, group: Group) -> float:
        """Seconds before a lost group is asked for again: none after a steady connection."""
        assert self._sockets is not None
        steady = group.up_s is not None and self._clock.monotonic() - group.up_s >= STEADY_S
        group.failures = 1 if steady else group.failures + 1
        asked = self._sockets.retry_after_s(group.urls)
        group.up_s = None
        group.urls.clear()  # another group may connect to them first
        return max(self._pause(group.failures), asked)

    def _pause(self, failures: int) -> float:
        if failures <= 1:
            return 0.0
        settings = self._settings
        longest = min(settings.retry_first_delay_s * 2.0 ** min(failures - 2, 30), settings.retry_longest_delay_s)
        return float(self._rng.uniform(0.5 * longest, longest))

    def _on_message(self, socket: Socket, message: Any) -> None:
        now_s, now_ms = self._clock.monotonic(), self._session.now_ms()
        self.health.messages += 1
        self.health.last_message_ms = now_ms
        first, socket.heard_s = socket.heard_s is None, now_s
        try:
            events = self._quirks.read_message(self._exchange, message, now_ms)
            if first or not events:  # an acknowledgement, as a rule
                self._came_up(socket)
            if not events:
                assert self._sockets is not None
                self._sockets.pass_on(socket, message)
        except Exception as error:  # any: a frame that nobody foresaw must not end the stream
            self._on_unreadable(socket, error)
            return
        for event in events:
            subscription = subscription_of(event)
            if subscription in self._heard:
                self._heard[subscription] = now_s
                self._lanes.put(event)
                self._wake.set()

    def _on_unreadable(self, socket: Socket, error: Exception) -> None:
        """Count it; what it said may be missing, which is told once in a while only (it may go on for hours)."""
        self.health.unreadable += 1
        self.health.last_trouble = f"a message cannot be read: {type(error).__name__}: {str(error)[:160]}"
        now_s = self._clock.monotonic()
        if socket.gap_told_s is None or now_s - socket.gap_told_s >= self._settings.stream_silence_s:
            socket.gap_told_s = now_s
            for group in self._groups_on(socket):
                self._tell_gap(group.members, "a message could not be read")

    def _came_up(self, socket: Socket) -> None:
        again = False
        for group in self._groups_on(socket):
            if group.up_s is None:
                group.up_s = self._clock.monotonic()
            if group.lost:
                group.lost, again = False, True
                self._tell_gap(group.members, "connected again")
        self.health.reconnects += again
        self._note_state()

    def _look_for_silence(self) -> None:
        assert self._sockets is not None
        now_s, silence = self._clock.monotonic(), self._settings.stream_silence_s
        for socket in self._sockets.open():
            groups = self._groups_on(socket)
            if not groups:
                self._sockets.drop(socket)
            elif now_s - socket.alive_s > silence * (QUIET if all(map(may_be_quiet, groups)) else 1):
                self._give_up(socket, f"nothing was heard for {now_s - socket.alive_s:.0f} s")
        for group in list(self._groups):
            self._look_for_deaf(group, now_s)
        again = [s for s in self.refused if now_s - self._refused_s[s] > REFUSED_S]
        for subscription in again:
            del self.refused[subscription]
        self._begin(again)
        self._note_state()

    def _look_for_deaf(self, group: Group, now_s: float) -> None:
        """One subscription hears nothing while its socket talks: the socket is given up for it, once."""
        if group.up_s is None:
            return
        silence_s = self._settings.stream_silence_s
        for subscription in group.members:
            limit, heard_s = patience_s(subscription, silence_s), self._heard[subscription]
            if limit is None or now_s - heard_s <= limit:
                self._blamed.discard(subscription)
            elif now_s - group.up_s > limit and subscription not in self._blamed:
                self._blamed.add(subscription)
                for socket in self._sockets_of(group):
                    self._give_up(socket, f"{name_of(subscription)} was not heard for {now_s - heard_s:.0f} s")
                return

    def _give_up(self, socket: Socket, why: str) -> None:
        for group in self._groups_on(socket):
            self._lose(group, why)
        assert self._sockets is not None
        self._sockets.drop(socket)

    def _groups_on(self, socket: Socket) -> list[Group]:
        return [group for group in self._groups if socket.url in group.urls]

    def _sockets_of(self, group: Group) -> list[Socket]:
        assert self._sockets is not None
        return [socket for socket in self._sockets.open() if socket.url in group.urls]

    def _tell_gap(self, subscriptions: Iterable[Subscription], why: str) -> None:
        at_ms = self._session.now_ms()
        for channel, symbol in dict.fromkeys((s.channel, s.symbol) for s in subscriptions):
            self._lanes.put(StreamGap(channel, symbol, why, at_ms))
        self._wake.set()

    def _note_state(self) -> None:
        """Health as the groups stand now; an acknowledgement alone makes nothing fresh."""
        now_s, silence = self._clock.monotonic(), self._settings.stream_silence_s
        stale = {name_of(s) for s in self.refused}
        for group in self._groups:
            heard_s = max(self._heard[s] for s in group.members)
            silent = group.lost or (now_s - heard_s > silence and not may_be_quiet(group))
            for subscription in group.members:
                limit = patience_s(subscription, silence)
                if silent or (limit is not None and now_s - self._heard[subscription] > limit):
                    stale.add(name_of(subscription))
        self.health.stale = tuple(sorted(stale))
        self.health.connected = bool(self._groups) and all(
            group.up_s is not None and not group.lost for group in self._groups
        )  # fmt: skip

    def _translated(self, error: Exception) -> QuantError:
        return translate(error, self._settings.exchange, "stream market data")
