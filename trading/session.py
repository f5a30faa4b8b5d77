"""The service's trading session: one bar at a time, through order manager, paper venue, ledger, desk and journal."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from ai.forecast import WIDTH, has_forecast
from ai.schema import FeatureSchema
from data.instruments import Instrument
from data.market import Float64Array
from trading.bar import MarketBar
from trading.config import TradingConfig, changed_rules
from trading.costs import price_of
from trading.execution.order_manager import OrderManager
from trading.execution.orders import Order
from trading.execution.paper import PaperVenue
from trading.journal import AuditEvent, Batch, Checkpoint, Journal
from trading.ledger import Buffers, Ledger
from trading.outcome import BarOutcome, no_forecasts
from trading.protection import WORDS as MOVED
from trading.protection import Moved
from trading.records import SAID, Action, ExitReason, Purpose, Reason
from trading.reduction import reduce_held
from trading.risk.market import see_quotes
from trading.risk.system import must_flatten
from trading.session_controls import SessionControls
from trading.state import Trading, TradingState
from trading.steps import decide, protect, share_wallet, watch
from trading.strategy.reader import SignalReader

ENDS = "the exchange ends trading"
_BLOCKED, _ABSTAIN, _EXIT_SIGNAL = int(Action.BLOCKED), int(Action.ABSTAIN), int(Reason.EXIT_SIGNAL)


class TradingSession(SessionControls):
    """One account over S symbols. Bars come in order of time; the moment of every event is a bar's close.

    Args:
        config: what is traded.
        schema: names of the feature rows; must hold ``config.features()``.
        journal: where batches are committed.
        account_id: from ``Journal.open_account``.
        history: daily closes ``[S, D]`` of the UTC days before the first bar's, NaN where there was none: portfolio
            risk begins with them. A checkpoint has its own.
        checkpoint: continue exactly after the bar it was taken at. Where the trading rules in ``config`` are others
            than those it was made under, they are taken as :meth:`take_rules` does.

    ``config`` of the session holds the trading rules in force.

    Raises:
        UserError: the schema lacks a feature, or the checkpoint is not of this run.
    """

    def __init__(
        self, config: TradingConfig, schema: FeatureSchema, journal: Journal, account_id: int,
        checkpoint: Checkpoint | None = None, history: Float64Array | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        self.account_id = account_id
        self.state = TradingState.new(config, schema)
        self.extra = b""  # anything the caller wants kept with the next checkpoint
        self._journal = journal
        self._signals = SignalReader(config.strategy, schema, len(config.symbols))
        self._digest = config.identity()
        self._venue = PaperVenue(self.state)
        self._orders = OrderManager(config, account_id, self._venue)
        self._ledger = Ledger(self.state)
        self._events: list[AuditEvent] = []
        self._coming: dict[int, Instrument] = {}  # rules that wait for the position under the old ones to close
        self._gone: set[int] = set()  # symbols of which no bar will come
        self._blank = no_forecasts(len(config.symbols))
        self._batch = config.settings.paper.batch_bars
        self._step = config.step_ms
        self._buffers = Buffers(self._batch, len(config.symbols))
        if history is not None:
            self.state.remember(history)
        if checkpoint is not None:
            about = self.state.restore(checkpoint.state, self._digest)
            self._orders.restore(about["orders"])
            self.extra = base64.b64decode(about["extra"])
            self._signals.restore(about.get("signals", ""))
            self._go_on_under([Instrument.of(document) for document in about["rules"]])

    @property
    def waiting_rules(self) -> tuple[str, ...]:
        """Symbols whose new trading rules wait for a position to close."""
        return tuple(rules.symbol for rules in self._coming.values())

    def open_orders(self) -> tuple[Order, ...]:
        """Orders that may still fill."""
        return self._orders.open_orders()

    def on_bar(
        self, bar: MarketBar, X: Float64Array, forecasts: Float64Array | None = None, hold: Sequence[int] = (),
        quotes: Float64Array | None = None,
    ) -> BarOutcome:  # fmt: skip
        """Take a closed bar.

        ``X[S, F, 2]`` holds the features at the bar before (NaN at the first bar of the run) and at this one;
        ``forecasts[S, WIDTH]`` this bar's forecast rows (model strategies). ``hold[S]``: the Reason why a symbol may
        not be entered on this bar, 0 where it may; exits go on. ``quotes[S, 4]``: the market now, as
        :func:`trading.risk.market.see_quotes` reads it. A full batch is committed before the next bar is taken.

        Raises:
            ValueError: the bar is not newer than the last one.
        """
        last = self.last_bar_ms
        if last is not None and bar.open_time <= last:
            raise ValueError(f"bar {bar.open_time} is not newer than {last}")
        if self._buffers.bars == self._batch:
            self.flush()
        buffers = self._buffers
        first_fill, first_trade, first_row = buffers.n_fills, buffers.n_trades, buffers.made
        state_before, tightness = int(self.state.account["state"][0]), self.tightness
        if quotes is not None:
            see_quotes(self.state.positions, quotes)
        paid = self._market(bar, buffers)
        self._ledger.mark(bar.open_time, buffers)
        self._adopt_rules(bar)
        self._report_rule_resume(state_before)
        tightened = self.tightness < tightness
        if tightened:
            self._note("tighten", {"left": self.tightness, "drawdown": float(self.state.account["drawdown"][0])})
        if forecasts is not None:
            said = np.flatnonzero(has_forecast(forecasts))
            buffers.said += [(bar.open_time, s, forecasts[s].copy()) for s in said.tolist()]
        halted = self._decide(bar, X, self._blank if forecasts is None else forecasts, buffers, hold)
        return BarOutcome(
            bar.open_time, buffers.decisions[first_row : buffers.made], buffers.fills[first_fill : buffers.n_fills],
            buffers.trades[first_trade : buffers.n_trades], buffers.equity[buffers.bars - 1 : buffers.bars],
            paid, halted, tightened,
        )  # fmt: skip

    def _market(self, bar: MarketBar, buffers: Buffers) -> int:
        """Open, funding, bar: what the market does to orders and positions."""
        ledger, venue, symbols = self._ledger, self._venue, range(len(self.config.symbols))
        close_time = bar.open_time + self._step
        paid = 0
        ledger.open_bar(bar)
        calm = set()  # nothing happens to what is held
        for s in symbols:
            if not bar.present[s] or venue.idle(s):
                continue
            if venue.quiet(s, bar):
                calm.add(s)
                continue
            while venue.at_open(s, bar):
                if not self._book(s, bar.open_time, buffers):
                    break
            if not venue.entry_works(s):
                self._orders.entry_gone(s, bar.open_time)
        for s in sorted(self._gone):
            if not bar.present[s] and venue.at_last_close(s, ExitReason.EMERGENCY, bar.open_time, 0.0):
                self._book(s, bar.open_time, buffers)
        for s in symbols:
            paid += ledger.settle(s, bar, self._step)
        for s in symbols:
            while bar.present[s] and s not in calm and venue.within_bar(s, bar):
                self._book(s, close_time, buffers)
                if self.state.positions["side"][s] == 0:
                    break
            if not venue.entry_works(s):
                self._orders.entry_gone(s, close_time)
        return paid

    def _book(self, s: int, ms: int, buffers: Buffers) -> bool:
        """Book a fill; True where it closed a part and something is still held."""
        self._ledger.book(s, buffers)
        self._orders.filled(s, self.state.intent[0], self.state.positions[s], ms)
        return bool(self.state.positions["side"][s] != 0) and int(self.state.intent["purpose"][0]) == Purpose.EXIT

    def _protect(self, bar: MarketBar, X: Float64Array) -> None:
        """Stops move at the close, and the wallet of cross margin is shared out anew."""
        state, close_time, newest = self.state, bar.open_time + self._step, X.shape[2] - 1
        if state.rules["managed"][0]:
            for s in range(len(self.config.symbols)):
                moved = protect(state.positions, state.instruments, state.rules, s, X, newest) if bar.present[s] else 0
                if moved == Moved.CROSSED:
                    self._orders.leave(s, state.positions[s], ExitReason.TRAILING, close_time, MOVED[Moved.CROSSED])
                elif moved:
                    self._orders.protect(s, state.positions[s], close_time, MOVED[Moved(moved)])
        if state.rules["cross"][0]:
            share_wallet(state.account, state.positions, state.instruments)

    def _decide(
        self, bar: MarketBar, X: Float64Array, forecasts: Float64Array, buffers: Buffers, hold: Sequence[int]
    ) -> bool:
        """A decision for every symbol, plans to the order manager, then the system gates."""
        state, count = self.state, len(self.config.symbols)
        close_time = bar.open_time + self._step
        newest = X.shape[2] - 1
        rows = forecasts.reshape(count, 1, WIDTH)
        self._protect(bar, X)
        for s in range(count):
            k = buffers.made
            present = bool(bar.present[s])
            held = present and bool(hold) and hold[s] != 0 and state.positions["side"][s] == 0
            action = decide(
                state.account, state.positions, state.plans, state.instruments, state.days, state.rules, state.limits,
                s, bar.open_time, present and not held, bar.volume[s], self._signals.bits(s, X[s]), X, newest, rows,
                buffers.decisions, k,
            )  # fmt: skip
            if held:
                buffers.decisions[k]["reason"] = hold[s]
            buffers.made += 1
            if action == _ABSTAIN:
                if buffers.decisions[k]["reason"] == _EXIT_SIGNAL:
                    self._orders.leave(s, state.positions[s], ExitReason.SIGNAL, close_time)
            elif action != _BLOCKED:
                self._orders.enter(s, state.plans[s], close_time)
                if state.positions["side"][s] != 0:
                    self._orders.protect(s, state.positions[s], close_time, "moved for the addition")
        halted = self._watch(close_time)
        for body in reduce_held(self.state, self._orders, self.config.symbols, close_time):
            self._note("reduce", body)
        return halted

    def _watch(self, close_time: int) -> bool:
        """The system gates; True when the account halted now."""
        state = self.state
        if not watch(state.account, state.positions, state.rules, close_time):
            return False
        self._orders.cancel_entries(close_time, "trading halted")
        if must_flatten(state.account[0], state.rules[0]):
            for s, position in enumerate(state.positions):
                if position["side"] != 0 and position["exit_at_open"] in (0, ExitReason.LIMIT):
                    self._orders.leave(s, position, ExitReason.EMERGENCY, close_time)
        self._note("halt", {"why": self.halt_words, "drawdown": float(state.account["drawdown"][0])})
        return True

    def take_rules(self, rules: Instrument) -> bool:
        """The exchange gave other trading rules of a symbol; True when they are in force, False when they wait.

        Ticks and lots in the state mean the old rules as long as something is held, so a symbol changes over when it
        is flat; a working entry, made under the old rules, is cancelled. Audited when it happens.
        """
        s = self.config.symbols.index(rules.symbol)
        if rules.status == "trading":
            self._gone.discard(s)
        self._coming[s] = rules
        if changed_rules(self.config.instruments[s], rules):
            self._orders.cancel_entries(self._moment(), "the trading rules changed", s)
        return self._adopt(s, self._last_price(s))

    def end_trading(self, symbol: str, *, gone: bool = False) -> bool:
        """The exchange settles or delists a symbol: entry cancelled, position closed at the next price; if one is held.

        ``gone``: no bar of the symbol will come; on the next bar of another one the last price has to do.
        """
        s = self.config.symbols.index(symbol)
        if gone:
            self._gone.add(s)
        position, moment = self.state.positions[s], self._moment()
        cancelled = self._orders.cancel_entries(moment, ENDS, s)
        held = bool(position["side"] != 0)
        leaves = held and position["exit_at_open"] == 0
        if leaves:
            self._orders.leave(s, position, ExitReason.EMERGENCY, moment, ENDS)
        if leaves or cancelled:
            self._note("end_trading", {"symbol": symbol, "why": ENDS, "closes": held})
        return held

    def _adopt_rules(self, bar: MarketBar) -> None:
        for s in list(self._coming):
            self._adopt(s, float(bar.close[s]) if bar.present[s] else self._last_price(s))

    def _adopt(self, s: int, price: float) -> bool:
        """Put waiting rules in force if nothing is held; ``price`` is the last close."""
        rules = self._coming[s]
        changed = changed_rules(self.config.instruments[s], rules)
        if changed and self.state.positions["side"][s] != 0:
            return False
        del self._coming[s]
        self.config = self._orders.config = self.config.with_instrument(s, rules)
        self.state.obey(s, self.config)  # fees and tiers at once: they say nothing about ticks and lots
        if changed:
            self.state.adopt(s, self.config, price)
            self._note("rules", {"symbol": rules.symbol, **changed})
        return True

    def _go_on_under(self, known: Sequence[Instrument]) -> None:
        """``known``: the rules that the restored state was made under."""
        for s, rules in enumerate(known):
            new = self.config.instruments[s]
            if changed_rules(rules, new):
                self.config = self._orders.config = self.config.with_instrument(s, rules)
                self.state.obey(s, self.config)
                self.take_rules(new)

    def _last_price(self, s: int) -> float:
        return price_of(int(self.state.positions["last"][s]), self.state.instruments[s])

    def _report_rule_resume(self, before: int) -> None:
        if before == Trading.HALTED and self.trading is Trading.RUNNING:
            self._note("resume", {"by": self.config.on_halt, "base": float(self.state.account["high_water"][0])})

    def close_all(self, volumes: Float64Array) -> BarOutcome:
        """Back-tests only: close what is held at the last close (reason ``end``) and mark again; ``volumes[S]``."""
        buffers = self._buffers
        first_fill, first_trade = buffers.n_fills, buffers.n_trades
        last, moment = self.last_bar_ms or 0, self._moment()
        self._orders.cancel_entries(moment, "the back-test ended")
        for s in range(len(self.config.symbols)):
            if self._venue.at_last_close(s, ExitReason.END, moment, float(volumes[s])):
                self._book(s, moment, buffers)
        buffers.bars = max(0, buffers.bars - 1)  # the last bar is marked again, not added
        row = buffers.bars
        self._ledger.mark(last, buffers)
        return BarOutcome(
            last, buffers.decisions[:0], buffers.fills[first_fill : buffers.n_fills],
            buffers.trades[first_trade : buffers.n_trades], buffers.equity[row : row + 1], 0, False,
        )  # fmt: skip

    def flush(self) -> None:
        """Commit everything since the last commit, with a checkpoint, in one transaction.

        Where that fails, the next call offers the same again.
        """
        buffers, moved = self._buffers, self._orders.changed()
        if buffers.bars == 0 and not moved and not self._events:
            return
        about: dict[str, object] = {
            "orders": self._orders.documents(),
            "rules": [rules.document() for rules in self.config.instruments],
            "extra": base64.b64encode(self.extra).decode(),
            "signals": self._signals.document(),
        }
        batch = Batch(
            self.account_id, int(self.state.account["last_bar"][0]), buffers.decisions[: buffers.made],
            buffers.fills[: buffers.n_fills], buffers.trades[: buffers.n_trades], buffers.equity[: buffers.bars],
            moved, self._events, self.state.to_bytes(self._digest, about), np.array(buffers.said, dtype=SAID),
        )  # fmt: skip
        self._journal.commit(batch)
        self._orders.journalled()
        self._events = []
        self._buffers = Buffers(self._batch, len(self.config.symbols))
