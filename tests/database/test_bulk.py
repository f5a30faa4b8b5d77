"""Rows put in many at a time are the rows that were given, in their order."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from database.bulk import AT_ONCE, insert_columns


@pytest.mark.parametrize("count", [0, 1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 7])
def test_every_row_comes_in_its_order(count: int) -> None:
    given = [(number, f"row {number}") for number in reversed(range(count))]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE seen (place INTEGER PRIMARY KEY, number INTEGER, name TEXT)")
        insert_columns(
            connection, "INSERT INTO seen (number, name)", [[row[0] for row in given], [row[1] for row in given]]
        )
        assert connection.execute("SELECT number, name FROM seen ORDER BY place").fetchall() == given


def test_of_two_rows_with_one_key_the_later_stands() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE seen (number INTEGER PRIMARY KEY, value REAL)")
        insert_columns(connection, "INSERT OR REPLACE INTO seen", [[1, 2, 1], [0.1, 0.2, 0.3]])
        assert connection.execute("SELECT * FROM seen ORDER BY number").fetchall() == [(1, 0.3), (2, 0.2)]


def test_columns_of_two_lengths_are_refused() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE seen (number INTEGER, value REAL)")
        with pytest.raises(ValueError, match="shorter"):
            insert_columns(connection, "INSERT INTO seen", [[1, 2, 3], [0.1]])
