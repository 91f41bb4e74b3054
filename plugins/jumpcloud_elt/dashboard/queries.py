"""One read-only connection per request to the published warehouse, and the queries under `include/sql/dashboard`.

Opened late and closed soon, so that a newly published warehouse is noticed and no publishing waits. Every figure on a
page is a query there; nothing is computed here.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.reading import open_warehouse, unreadable
from jumpcloud_elt.warehouse.sql_files import read_sql

# Of all requests of this process together: DuckDB shares one instance among connections to one file.
MEMORY_LIMIT = "512MB"
QUERY_THREADS = 2
Parameters = Mapping[str, Any]


@functools.cache
def query_text(name: str) -> str:
    """A query's text; cached, for it comes with the package."""
    return read_sql(f"dashboard/{name}")


@dataclass(frozen=True)
class Warehouse:
    """The published warehouse, as of one request."""

    connection: duckdb.DuckDBPyConnection
    built_at: datetime
    tables: frozenset[str]

    def rows(self, name: str, parameters: Parameters | None = None) -> list[Row]:
        """Every row of a query."""
        return self._fetch(query_text(name), parameters)

    def row(self, name: str, parameters: Parameters | None = None) -> Row | None:
        """The first row of a query, None where there is none."""
        return next(iter(self.rows(name, parameters)), None)

    def count(self, name: str, parameters: Parameters) -> int:
        """How many rows a query has."""
        return int(self._fetch(f"select count(*) as n from ({query_text(name)})", parameters)[0]["n"])

    def slice(self, name: str, parameters: Parameters, order: str, *, limit: int, offset: int) -> list[Row]:
        """Some of a query's rows. `order` is SQL: of the caller's own making, never a visitor's."""
        text = f"select * from ({query_text(name)}) order by {order} limit {limit:d} offset {offset:d}"
        return self._fetch(text, parameters)

    def counted_slice(
        self, name: str, parameters: Parameters, order: str, *, limit: int, offset: int, key: str
    ) -> tuple[list[Row], int]:
        """Some of a query's rows, and how many it has: for a query of very many rows with a `key` that is a number.

        They are found once, for counting and for sorting, and nothing but the key and what `order` names is carried
        through that; the rest is fetched of the few rows that are shown. Says nothing of the number where `offset` is
        beyond the last row: no rows, and 0.
        """
        found = self._fetch(
            f"with found as materialized (select * from ({query_text(name)})) "
            f"select {key}, (select count(*) from found) as total from found "
            f"order by {order} limit {limit:d} offset {offset:d}",
            parameters,
        )
        keys = [row[key] for row in found]
        # The keys have passed the filters.
        rows = self._fetch(
            f"select columns('^[^_]'), {key} from ({query_text(name)}) "
            f"semi join (select unnest($keys::bigint[]) as {key}) using ({key})",
            {**dict.fromkeys(parameters), "keys": keys},
        )
        by_key = {row[key]: row for row in rows}
        return [by_key[one] for one in keys], found[0]["total"] if found else 0

    def find_ranges(self, *, organization_id: str | None = None, days: int | None = None) -> None:
        """Let this request's queries read `ranges`: what has been read, of one organization or of each.

        `days` is how far to look back from the end of each; None, everything. Found once: several figures need it.
        """
        self.connection.execute(
            f"create or replace temporary table ranges as {query_text('coverage')}",
            {"organization_id": organization_id, "days": days},
        )

    def group_names(self, organization_id: str) -> dict[str, str]:
        """What an organization's groups are called, by id; a group without a name, or without a row, is its id."""
        if "groups" not in self.tables:
            return {}
        rows = self.rows("groups", {"organization_id": organization_id})
        return {row["group_id"]: row["name"] or row["group_id"] for row in rows}

    def require(self, *tables: str) -> None:
        """Raise WarehouseError unless the warehouse has these tables: an older version built it."""
        if missing := sorted({*tables} - self.tables):
            raise WarehouseError(
                f"This warehouse was built by an older version of the package and has no {', '.join(missing)}: "
                "run jumpcloud_warehouse once."
            )

    def _fetch(self, text: str, parameters: Parameters | None) -> list[Row]:
        result = self.connection.execute(text, dict(parameters) if parameters else None)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, values, strict=True)) for values in result.fetchall()]


@contextlib.contextmanager
def open_for_request() -> Iterator[Warehouse]:
    """The published warehouse, read-only and within bounds, closed on leaving.

    Raises WarehouseError where there is none, or it cannot be read.
    """
    with open_warehouse() as connection:
        try:
            yield _prepare(connection)
        except duckdb.Error as error:
            raise WarehouseError(unreadable(error)) from error


def _prepare(connection: duckdb.DuckDBPyConnection) -> Warehouse:
    connection.execute(f"set memory_limit = '{MEMORY_LIMIT}'")
    connection.execute(f"set threads = {QUERY_THREADS}")
    tables = connection.execute(
        "select table_name from information_schema.tables where table_schema = 'main'"
    ).fetchall()
    ((built_at,),) = connection.execute("select built_at from warehouse_info").fetchall()
    return Warehouse(connection, built_at, frozenset(name for (name,) in tables))
