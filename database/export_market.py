"""Market data as tables to export: observations by kind and superseded versions, their packed numbers unfolded."""

from __future__ import annotations

from data.market import BAR_KINDS
from data.observations import BOOK_COLUMNS, COLUMNS
from database.chunks import PRICES
from database.export_columns import SERIES, Column, Query, Row, plain
from database.revisions import unpack_rows

# the market's trades stand apart from the account's own
KIND_OF_TABLE = {
    "market_trades": "trades", "book": "book", "metrics": "metrics", "premium": "premium",
    "liquidations": "liquidations",
}  # fmt: skip
TABLE_OF_KIND = {kind: table for table, kind in KIND_OF_TABLE.items()}
TABLE_OF_KIND |= dict.fromkeys(BAR_KINDS, "market_data") | {"funding": "funding"}
PACKED = {**COLUMNS, **dict.fromkeys(BAR_KINDS, (*PRICES, "mark")), "funding": ("rate", "mark_price")}

PRICE, RATIO, FRACTION = "quote per base", "long / short", "fraction of notional"
UNITS = {
    "open": PRICE, "high": PRICE, "low": PRICE, "close": PRICE, "volume": "base", "price": PRICE, "quantity": "base",
    "side": "+1 bought, -1 sold", "mark": "0 real, 1 repaired, 2 synthetic, 3 suspect", "mark_price": PRICE,
    "index_price": PRICE, "rate": FRACTION, "funding_rate": FRACTION, "next_funding_ms": "ms since 1970 UTC",
    "interval_ms": "ms", "open_interest": "base", "open_interest_value": "quote", "top_account_ratio": RATIO,
    "top_position_ratio": RATIO, "account_ratio": RATIO, "taker_ratio": "taker buy volume / taker sell volume",
    **{name: PRICE if "price" in name else "base" for name in BOOK_COLUMNS},
}  # fmt: skip
_ROW = (Column("time", "TIME", "t.time"), Column("id", "INTEGER", "t.id"), Column("known_at", "TIME", "t.known_at"))


def observation_query(kind: str) -> Query:
    """Rows of one kind of every series, one column for each number."""
    names = COLUMNS[kind]
    columns = [Column(name, "TEXT", f"s.{name}") for name in SERIES]
    columns += [*_ROW, Column(names[0], "REAL", "t.packed", UNITS[names[0]])]
    columns += [Column(name, "REAL", unit=UNITS[name]) for name in names[1:]]

    def expand(part: list[Row]) -> list[Row]:
        values = [plain(column) for column in unpack_rows([row[-1] for row in part], len(names)).T]
        return [(*row[:-1], *numbers) for row, *numbers in zip(part, *values, strict=True)]

    sql = f"SELECT {', '.join(c.sql for c in columns if c.sql)} FROM observations t JOIN series s ON s.id = t.series"
    return Query(f"{sql} WHERE s.kind = '{kind}'", columns, expand)


def superseded_query() -> Query:
    """Every version that was replaced, one row for each of its numbers."""
    columns = [Column(name, "TEXT", f"s.{name}") for name in SERIES]
    columns += [*_ROW, Column("name", "TEXT", "t.packed"), Column("value", "REAL")]

    def expand(part: list[Row]) -> list[Row]:
        out: list[Row] = []
        for row in part:
            names = PACKED[row[SERIES.index("kind")]]
            values = unpack_rows([row[-1]], len(names))[0]
            out += [(*row[:-1], name, value) for name, value in zip(names, plain(values), strict=True)]
        return out

    sql = f"SELECT {', '.join(c.sql for c in columns if c.sql)} FROM superseded t JOIN series s ON s.id = t.series"
    return Query(sql, columns, expand)
