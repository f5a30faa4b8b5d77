"""What files of market data look like: names of columns as sources spell them, layouts without a header, archives.

Names are compared as :func:`data.file_formats.normalised` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.market import BAR_KINDS
from data.observations import BOOK_COLUMNS
from data.timeframes import TIMEFRAMES

TIME_NAMES = (
    "open_time", "timestamp", "time", "datetime", "date", "calc_time", "funding_time", "start_time", "transact_time",
    "transaction_time", "create_time", "event_time", "trade_time", "ts",
)  # fmt: skip
SYMBOL_NAMES = ("symbol", "pair", "instrument", "coin")
EXCHANGE_NAMES = ("exchange", "venue")
EXCHANGE_SPELLINGS = {"binance-futures": "binanceusdm", "binance_um": "binanceusdm"}


@dataclass(frozen=True, slots=True)
class Field:
    """One number of a row and the columns that may hold it, best first; ``required``: a file without it is refused."""

    name: str
    spellings: tuple[str, ...] = ()
    required: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Every spelling."""
        return (self.name, *self.spellings)


_TRADE = (
    Field("price", ("average_price", "p")),
    Field("quantity", ("qty", "size", "amount", "q", "accumulated_fill_quantity", "original_quantity")),
    Field("side"),
)
FIELDS: dict[str, tuple[Field, ...]] = {
    "ohlcv": tuple(Field(name) for name in ("open", "high", "low", "close", "volume")),
    "mark": (*(Field(name) for name in ("open", "high", "low", "close")), Field("volume", required=False)),
    "funding": (Field("funding_rate", ("last_funding_rate", "rate")), Field("mark_price", required=False)),
    "premium": (
        Field("mark_price", ("mark",), required=False),
        Field("index_price", ("index",), required=False),
        Field("funding_rate", ("last_funding_rate",), required=False),
        Field("next_funding_ms", ("next_funding_time",), required=False),
        Field("interval_ms", required=False),
    ),
    "metrics": (
        Field("open_interest", ("sum_open_interest",), required=False),
        Field("open_interest_value", ("sum_open_interest_value", "oi_usd"), required=False),
        Field("top_account_ratio", ("count_toptrader_long_short_ratio",), required=False),
        Field("top_position_ratio", ("sum_toptrader_long_short_ratio",), required=False),
        Field("account_ratio", ("count_long_short_ratio", "long_short_ratio"), required=False),
        Field("taker_ratio", ("sum_taker_long_short_vol_ratio", "buy_sell_ratio"), required=False),
    ),
    "trades": _TRADE,
    "liquidations": (Field("price", ("average_price",)), *_TRADE[1:]),
    "book": tuple(Field(name, required=name.endswith("_1")) for name in BOOK_COLUMNS),
}
FIELDS["index"] = FIELDS["mark"]
IMPORTABLE = tuple(FIELDS)
MAKER_NAMES = ("is_buyer_maker", "buyer_is_maker", "m")  # true: the seller was the taker
ID_NAMES: dict[str, tuple[str, ...]] = {
    "trades": ("agg_trade_id", "trade_id", "id", "a"),
    "liquidations": ("id",),
    "book": ("update_id", "last_update_id", "id"),
}

# Layouts of files without a header: the exchange's archives, plain candles, candles without volume, plain settlements.
KLINES = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "count",
    "taker_buy_volume", "taker_buy_quote_volume", "ignore",
)  # fmt: skip
AGG_TRADES = (
    "agg_trade_id", "price", "quantity", "first_trade_id", "last_trade_id", "transact_time", "is_buyer_maker",
    "is_best_match",
)  # fmt: skip
HEADERLESS: dict[str, tuple[tuple[str, ...], ...]] = {
    "ohlcv": (KLINES, KLINES[:6]),
    "mark": (KLINES, KLINES[:6], KLINES[:5]),
    "index": (KLINES, KLINES[:6], KLINES[:5]),
    "funding": (("calc_time", "funding_interval_hours", "last_funding_rate"), ("funding_time", "funding_rate")),
    "trades": (AGG_TRADES, AGG_TRADES[:7], ("id", "price", "qty", "quote_qty", "time", "is_buyer_maker")),
    "metrics": (
        ("create_time", "symbol", "sum_open_interest", "sum_open_interest_value", "count_toptrader_long_short_ratio",
         "sum_toptrader_long_short_ratio", "count_long_short_ratio", "sum_taker_long_short_vol_ratio"),
    ),
    "book": (
        ("update_id", "best_bid_price", "best_bid_qty", "best_ask_price", "best_ask_qty", "transaction_time",
         "event_time"),
    ),
    "liquidations": (
        ("time", "side", "order_type", "time_in_force", "original_quantity", "price", "average_price", "order_status",
         "last_fill_quantity", "accumulated_fill_quantity"),
    ),
    "premium": (),
}  # fmt: skip

# The exchange's archive: https://data.binance.vision, "BTCUSDT-aggTrades-2024-01.zip"; candles of every sort are named
# by their timeframe alone, their folder says which.
KIND_OF_ARCHIVE = {
    "klines": "ohlcv", "markpriceklines": "mark", "indexpriceklines": "index", "fundingrate": "funding",
    "metrics": "metrics", "aggtrades": "trades", "trades": "trades", "bookticker": "book",
    "liquidationsnapshot": "liquidations",
}  # fmt: skip
NOT_IMPORTED = {
    "premiumindexklines": "candles of the premium index, which the store does not keep: take markPriceKlines and "
    "indexPriceKlines",
    "bookdepth": "sums of the book by distance from the price, from which its levels cannot be had: take bookTicker",
}
_ARCHIVE = re.compile(r"([A-Z0-9]+)-([A-Za-z0-9]+)-\d{4}-\d{2}(-\d{2})?\.(zip|csv)")


def archive_of(path: Path) -> tuple[str, str] | None:
    """``(symbol, what)`` of an exchange's archive file by its name and folders, ``None`` for any other file.

    ``what`` is a key of KIND_OF_ARCHIVE or NOT_IMPORTED; of candles whose folder does not say it: empty.
    """
    named = _ARCHIVE.fullmatch(path.name)
    if named is None:
        return None
    what = named[2].lower()
    if named[2] in TIMEFRAMES:
        folders = [part.lower() for part in path.parts[:-1]]
        what = next((f for f in reversed(folders) if f.endswith("klines")), "")
    return named[1], what if what in (*KIND_OF_ARCHIVE, *NOT_IMPORTED) else ""


def kind_of(paths: Sequence[Path]) -> str:
    """The kind that files are of by their names, ``ohlcv`` where they do not say it.

    Raises:
        UserError: the names say different kinds.
    """
    named = {KIND_OF_ARCHIVE.get((archive_of(path) or ("", ""))[1], "") for path in paths} - {""}
    if len(named) > 1:
        raise UserError(f"The files are archives of {' and '.join(sorted(named))}: import one kind at a time.")
    return named.pop() if named else "ohlcv"


def refuse_other_archive(path: Path, kind: str) -> None:
    """An archive of something else than what is asked for is named before it is read.

    Raises:
        UserError: the archive holds another kind, or one that cannot be imported.
    """
    what = (archive_of(path) or ("", ""))[1]
    if what in NOT_IMPORTED:
        raise UserError(f"{path} holds {NOT_IMPORTED[what]}.")
    if what and KIND_OF_ARCHIVE[what] != kind:
        raise UserError(f"{path} is an archive of {what}, no {kind}: give --kind {KIND_OF_ARCHIVE[what]}.")


def hint_for(columns: list[str], kind: str) -> str:
    """What the columns look like instead, as an ending of a refusal."""
    if kind in BAR_KINDS and "funding_rate" in columns:
        return " Is it a funding file (--kind funding)?"
    if kind == "book" and "percentage" in columns:
        return f" The file holds {NOT_IMPORTED['bookdepth']}."
    if kind == "premium" and {"open", "high", "low", "close"} <= set(columns):
        return f" The file holds {NOT_IMPORTED['premiumindexklines']}."
    return ""
