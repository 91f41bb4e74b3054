"""What the data dictionary promises of a mart, checked in a built file: keys, columns without null, accepted values.

`events` is not checked: it is a view over all of landing, and no part of the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import duckdb

from jumpcloud_elt.warehouse.dictionary import Mart, MartColumn
from jumpcloud_elt.warehouse.sql_files import quote

# Of one kind, in one mart: enough to see what is wrong.
MOST_LINES = 5


def broken_rules(connection: duckdb.DuckDBPyConnection, mart: Mart) -> Iterator[str]:
    """One line for each value or key of a mart that may not be, with the number of its rows: the first few of them."""
    if mart.name == "events":
        return
    parts = [
        f"select '{column.name}' as name, \"{column.name}\"::varchar as value, count(*) as rows "
        f"from {mart.name} where {' or '.join(conditions)} group by value"
        for column in mart.columns
        if (conditions := list(_conditions(column)))
    ]
    columns = {column.name: column for column in mart.columns}
    for name, value, rows in connection.execute(" union all ".join(parts)).fetchmany(MOST_LINES):
        allowed = "not null" if value is None else ", ".join(columns[name].accepted_values)
        yield f"{mart.name}.{name}: {_shown(value)} in {rows} row(s); allowed: {allowed}"
    if mart.meta.key:
        yield from _repeated_keys(connection, mart)


def _conditions(column: MartColumn) -> Iterator[str]:
    """What is true of a row whose value may not be."""
    if not column.is_nullable:
        yield f'"{column.name}" is null'
    if column.accepted_values:
        yield f'"{column.name}" not in ({", ".join(quote(value) for value in column.accepted_values)})'


def _repeated_keys(connection: duckdb.DuckDBPyConnection, mart: Mart) -> Iterator[str]:
    # A day's rows have the day in their key: month by month, memory does not grow with the history.
    is_daily = "date" in mart.meta.key
    months: list[tuple[date | None]] = [(None,)]
    if is_daily:
        months = connection.execute(f"select distinct date_trunc('month', date)::date from {mart.name}").fetchall()
    key = ", ".join(f'"{name}"' for name in mart.meta.key)
    where = "where date >= $month and date < $month + interval 1 month" if is_daily else ""
    for (month,) in months:
        found: list[tuple[Any, ...]] = connection.execute(
            f"select {key}, count(*) as rows from {mart.name} {where} group by all having count(*) > 1",
            {"month": month} if is_daily else None,
        ).fetchmany(MOST_LINES)
        for *values, rows in found:
            named = ", ".join(f"{name} {_shown(value)}" for name, value in zip(mart.meta.key, values, strict=True))
            yield f"{mart.name}: key ({named}) in {rows} rows; allowed: 1"


def _shown(value: object) -> str:
    return "null" if value is None else f"'{value}'"
