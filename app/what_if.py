"""Before a trade: liquidation price, loss, costs, risk before and after, and the gates that would fail."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ai.features.engine import FeatureEngine
from ai.features.registry import schema_of
from app.contract.queries import WhatIfQuery
from app.contract.results import RiskFigures, WhatIfPlan, WhatIfView
from app.day_history import day_closes
from app.documents import number, verdict_rows
from app.options import RunOptions
from app.parity_session import as_run
from app.projection_context import Book, Context, base, digits
from app.projections_decision import gate_rows
from app.run_plan import RunPlan, plan_run
from app.wiring import run_warmup
from data.clock import iso
from data.errors import UserError
from data.market import FundingFrame, SeriesKey, short_symbol, unified_symbol
from trading.costs import ticks_of
from trading.state import TradingState
from trading.what_if import Exposure, Seen, WhatIf, Wish, what_if

if TYPE_CHECKING:
    from app.wiring import Workplace
    from database.accounts import Account
    from trading.config import TradingConfig

Document = dict[str, Any]
SIDES = {"long": 1, "short": -1}


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``quantity`` in base units, ``stop`` as a price; ``None``: by sizing and by the exit profile."""

    symbol: str
    side: str
    quantity: float | None = None
    stop: float | None = None
    account: int | str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it, of which account (``None``: a new one) and as of when (ms UTC)."""

    symbol: str
    side: str
    account: int | None
    time_ms: int
    found: WhatIf


@dataclass(frozen=True, slots=True, eq=False)
class Stand:
    """Where an account stands: what it trades from which series, and its state as of a bar; ``account`` None: new."""

    account: int | None
    config: TradingConfig
    keys: tuple[SeriesKey, ...]
    state: TradingState
    fresh: bool  # knows no market yet

    @property
    def newest_ms(self) -> int | None:
        """Open time of the newest bar that it knows."""
        return None if self.fresh else int(self.state.account["last_bar"][0])


def answer(place: Workplace, request: Request, stand: Stand | None = None) -> Answer:
    """The plan as the account of the newest run would make it; without a run, a new account under the settings.

    ``stand``: of a running service, else as committed.

    Raises:
        UserError: the symbol is not the run's, is held already, or lacks bars; side, stop or quantity do not fit.
    """
    if request.side not in SIDES:
        raise UserError(f"'{request.side}' is no side: use long or short.")
    if request.quantity is not None and not request.quantity > 0.0:
        raise UserError(f"A quantity of {request.quantity:g} cannot be traded: give one over 0.")
    stand = stand or _stand_of(place, request.account)
    symbol, symbols = unified_symbol(request.symbol), stand.config.symbols
    if symbol not in symbols:
        traded = ", ".join(map(short_symbol, symbols))
        raise UserError(f"The run trades {traded}, not {short_symbol(symbol)}: ask for one of these.")
    s = symbols.index(symbol)
    seen = _look(place, stand, s)
    found = what_if(stand.state, symbols, Wish(s, SIDES[request.side], request.quantity, request.stop), seen)
    moment = int(stand.state.account["last_bar"][0]) + stand.config.step_ms
    return Answer(symbol, request.side, stand.account, moment, found)


def _stand_of(place: Workplace, number_: int | str | None) -> Stand:
    """The account asked for as it was committed."""
    under, account, plan = _run_of(place, number_)
    state, fresh = _state_of(under, account, plan)
    return Stand(None if account is None else account.id, plan.config, tuple(plan.keys), state, fresh)


def _run_of(place: Workplace, number_: int | str | None) -> tuple[Workplace, Account | None, RunPlan]:
    """The account asked for, else the newest, and its run; else the run that the settings would make."""
    stored = place.database.accounts.chosen("all")
    if not stored and number_ is None:
        return place, None, plan_run(place, RunOptions(place.home.path))
    accounts = place.database.accounts.chosen(number_)
    if len(accounts) != 1:
        raise UserError("A what-if is of one account: give its number with --account.")
    under, plan = as_run(place, accounts[0], None)
    return under, accounts[0], plan


def _state_of(place: Workplace, account: Account | None, plan: RunPlan) -> tuple[TradingState, bool]:
    """The account's state as committed, and whether it is a new one that knows no market yet."""
    state = TradingState.new(plan.config, plan.schema)
    checkpoint = None if account is None else place.database.journal.checkpoint(account.id)
    if account is None or checkpoint is None:
        return state, True
    try:
        state.restore(checkpoint.state, plan.config.identity())
    except UserError as error:
        raise UserError(
            f"Account {account.id} was run under other settings than those in force: start the run once, or give "
            "another account with --account."
        ) from error
    return state, False


def committed(place: Workplace, account: int) -> Book | None:
    """What an account trades and its state as committed; none where it has none, or was run under other settings."""
    try:
        stand = _stand_of(place, account)
    except UserError:
        return None
    return None if stand.fresh else Book(stand.config, stand.state)


def _look(place: Workplace, stand: Stand, s: int) -> Seen:
    """What the desk reads at the newest bar; a new state learns of prices, settlements and days before it."""
    key, config, state = stand.keys[s], stand.config, stand.state
    store = place.database.candles
    end = None if stand.newest_ms is None else stand.newest_ms + 1
    frame = store.tail(key, run_warmup(config.timeframe), end)
    if not len(frame):
        raise UserError(f"No bars of {key} are stored: bring some in, or let the run warm up.")
    own = config.profile.feature
    names = ["volatility_96", "black_swan_ratio", *([] if own is None else [own])]
    first, last = int(frame.open_time[0]), int(frame.open_time[-1])
    funding = store.read_funding(key.exchange, key.symbol, key.source, first, last + config.step_ms + 1)
    x = FeatureEngine(schema_of(names), config.timeframe).batch(frame, funding)[:, -1]
    if stand.fresh:
        state.remember(day_closes(store, stand.keys, last, config))
        state.positions["last"][s] = ticks_of(float(frame.close[-1]), state.instruments[s])
        state.account["last_bar"] = last
        _settlements(state, s, funding)
    return Seen(float(frame.volume[-1]), 1.0 if own is None else float(x[2]), float(x[0]), float(x[1]))


def _settlements(state: TradingState, s: int, funding: FundingFrame) -> None:
    if len(funding.time) > 1:
        state.positions["funding_rate"][s] = funding.rate[-1]
        state.positions["funding_time"][s] = funding.time[-1]
        state.positions["funding_step"][s] = funding.time[-1] - funding.time[-2]


# ---- for the command line and the window -----------------------------------------------------------------------------


def perform(place: Workplace, request: Request) -> Document:
    """The document of ``what-if``; its keys are those of the command's help.

    Raises:
        UserError: as :func:`answer`.
    """
    said = answer(place, request)
    w = said.found
    return {
        "symbol": said.symbol, "side": said.side, "account": said.account, "time": iso(said.time_ms),
        "entry": w.entry, "stop": w.stop, "target": w.target, "quantity": w.quantity, "notional": w.notional,
        "leverage": w.leverage, "margin": w.margin, "liquidation": w.liquidation or None,
        "loss_at_stop": w.loss_at_stop, "fees_at_stop": w.fees_at_stop, "fees_at_target": w.fees_at_target,
        "expected_funding": w.funding, "time_limit": iso(w.time_limit),
        "before": _risk_row(w.before), "after": _risk_row(w.after),
        "correlated": [{"symbol": name, "rho": rho} for name, rho in w.correlated],
        "fails": list(w.failing), "gates": verdict_rows(w.verdicts),
    }  # fmt: skip


def _risk_row(e: Exposure) -> Document:
    names = ("var", "es", "open_risk", "exposure")
    return {name: number(value) for name, value in zip(names, asdict(e).values(), strict=True)}


def view(query: WhatIfQuery, context: Context) -> WhatIfView:
    """The same for the window, of the account in sight; where no such plan can be made it says why."""
    account = None if context.account is None else context.account.id
    held = {p.symbol for p in context.positions.positions}
    symbol = query.symbol or next((s for s in context.symbols if s not in held), context.symbols[0])
    request = Request(symbol, query.side, query.quantity, query.stop, account)
    try:
        said = answer(context.place, request, _running(context))
    except UserError as error:
        return WhatIfView(symbol, query.side, refused=str(error), symbols=context.symbols)
    return WhatIfView(said.symbol, said.side, _plan(said), symbols=context.symbols)


def _running(context: Context) -> Stand | None:
    """A running service's account as it stands between two bars; none before its first bar."""
    book = context.book
    if book is None or context.account is None or int(book.state.account["last_bar"][0]) < 0:
        return None
    keys = tuple(context.key_of(symbol) for symbol in book.config.symbols)
    return Stand(context.account.id, book.config, keys, book.state, fresh=False)


def _plan(said: Answer) -> WhatIfPlan:
    w = said.found
    price_digits, quantity_digits = digits(said.symbol)
    return WhatIfPlan(
        time_ms=said.time_ms, entry=w.entry, stop=w.stop, target=w.target, quantity=w.quantity, base=base(said.symbol),
        notional=w.notional, leverage=w.leverage, margin=w.margin, liquidation=w.liquidation or None,
        loss_at_stop=w.loss_at_stop, fees_at_stop=w.fees_at_stop, fees_at_target=w.fees_at_target,
        expected_funding=w.funding, time_limit_ms=w.time_limit, before=_figures(w.before), after=_figures(w.after),
        correlated=w.correlated, gates=gate_rows(w.verdicts), fails=w.failing, price_digits=price_digits,
        quantity_digits=quantity_digits,
    )  # fmt: skip


def _figures(e: Exposure) -> RiskFigures:
    return RiskFigures(number(e.value_at_risk), number(e.shortfall), number(e.open_risk), number(e.gross))
