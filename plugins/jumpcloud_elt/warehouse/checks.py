"""The checks of a built warehouse file: rules that hold for every mart, and the queries under `include/sql/checks`.

Finds the rows that break a check, and the organization of each. What becomes of such an organization is decided in
`holding`. `events` is not checked: it is a view of all landed events and not stored in the file.

Memory does not grow with the history: a rule either reads a mart once without keeping rows, or reads it slice by slice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import duckdb
import msgspec

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.warehouse import rollups
from jumpcloud_elt.warehouse.dictionary import Mart, MartColumn, marts
from jumpcloud_elt.warehouse.files import keep_within
from jumpcloud_elt.warehouse.sql_files import quote, read_sql, sql_folder

# Findings of one kind, in one mart, of one organization: enough to see what is wrong.
MOST_FINDINGS = 5
ROWS_OF_A_SLICE = 1_000_000
# What was attempted and recorded of an organization that no run has synced is no mistake.
RECORDS = ("user_actions", "sync_log")
_Found = tuple[str | None, str]  # organization_id, message


class Violation(msgspec.Struct, frozen=True):
    """A row, or several of one kind, that breaks a check. `organization_id` is None if the row names none."""

    organization_id: str | None
    check: str
    message: str


def find_broken(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[Violation]:
    """What the checks find in the warehouse that `connection` has open: the first rows of each organization.

    Empty if the warehouse may be published. The connection keeps to the memory limit and threads of `settings` from
    here on. Raises duckdb.Error.
    """
    keep_within(connection, settings)
    found = [
        Violation(organization_id, check, message)
        for check, rule in RULES.items()
        for mart in marts()
        if mart.name != "events"
        for organization_id, message in rule(connection, mart)
    ]
    has_rollups = rollups.show_files(connection, settings)
    for check in queries():
        if check == "check_rollups" and not has_rollups:
            continue
        for row in _first_of_each(connection, read_sql(f"checks/{check}")):
            organization_id = row.pop("organization_id")
            found.append(Violation(organization_id, check, f"{check}: {_named(row)}"))
    return found


def queries() -> list[str]:
    """The checks that are queries. Each returns `organization_id` and what else says which row is wrong, and why."""
    return sorted(file.stem for file in (sql_folder() / "checks").glob("*.sql"))


def _values(connection: duckdb.DuckDBPyConnection, mart: Mart) -> Iterator[_Found]:
    """Nulls in columns without null, and values that are not accepted."""
    rules = [(column, condition) for column in mart.columns if (condition := _is_wrong(column))]
    if not rules:
        return
    counts = ", ".join(f"count_if({condition})" for _, condition in rules)
    (wrong,) = connection.execute(f"select {counts} from {mart.name}").fetchall()
    for (column, condition), count in zip(rules, wrong, strict=True):
        if not count:
            continue
        rows = _first_of_each(
            connection,
            f'select {_organization(mart)} as organization_id, "{column.name}"::varchar as value, count(*) as rows '
            f"from {mart.name} where {condition} group by all",
        )
        for row in rows:
            allowed = "not null" if row["value"] is None else ", ".join(column.accepted_values)
            message = f"{mart.name}.{column.name}: {_shown(row['value'])} in {row['rows']} row(s); allowed: {allowed}"
            yield row["organization_id"], message


def _is_wrong(column: MartColumn) -> str:
    """What is true of a row whose value may not be; empty if any may be."""
    conditions = []
    if not column.is_nullable:
        conditions.append(f'"{column.name}" is null')
    if column.accepted_values:
        conditions.append(f'"{column.name}" not in ({", ".join(map(quote, column.accepted_values))})')
    return " or ".join(conditions)


def _keys(connection: duckdb.DuckDBPyConnection, mart: Mart) -> Iterator[_Found]:
    """Keys that several rows have."""
    if not mart.meta.key:
        return
    key = _columns(mart.meta.key)
    for where in _slices(connection, mart, key):
        # Hashes are numbers: to count them takes a fraction of the memory that the keys would.
        rows = _first_of_each(
            connection,
            f"with repeated as (select hash({key}) as hash from {mart.name} where {where} group by hash "
            "having count(*) > 1) "
            f"select {key}, count(*) as rows from {mart.name} "
            f"where {where} and hash({key}) in (select hash from repeated) group by all having count(*) > 1",
        )
        for row in rows:
            count = row.pop("rows")
            yield row["organization_id"], f"{mart.name}: key ({_named(row)}) in {count} rows; allowed: 1"


def _versions(connection: duckdb.DuckDBPyConnection, mart: Mart) -> Iterator[_Found]:
    """Versions that end before they begin, and versions of one object that overlap: two open ones among others."""
    if "valid_from" not in mart.meta.key:
        return
    names = [name for name in mart.meta.key if name != "valid_from"]
    key = _columns(names)
    for where in _slices(connection, mart, key):
        rows = _first_of_each(
            connection,
            f"with versions as not materialized (select {key}, hash({key}) as hash, valid_from, valid_to "
            f"from {mart.name} where {where}), "
            "neighbours as (select hash, valid_from, valid_to, lead(valid_from) over by_hash as next_from "
            "from versions window by_hash as (partition by hash order by valid_from, valid_to nulls last)), "
            "suspects as (select distinct hash from neighbours "
            "where valid_to <= valid_from or coalesce(valid_to > next_from, next_from is not null)), "
            f"sorted as (select {key}, valid_from, valid_to, lead(valid_from) over by_key as next_from "
            "from versions semi join suspects using (hash) "
            f"window by_key as (partition by {key} order by valid_from, valid_to nulls last)) "
            "select * from sorted "
            "where valid_to <= valid_from or coalesce(valid_to > next_from, next_from is not null)",
        )
        for row in rows:
            yield (
                row["organization_id"],
                f"{mart.name}: version ({_named(row)}); allowed: valid_to after valid_from, and not after next_from",
            )


def _organizations(connection: duckdb.DuckDBPyConnection, mart: Mart) -> Iterator[_Found]:
    """Rows of organizations that `organizations` does not name."""
    if _organization(mart) == "null" or mart.name in RECORDS:
        return
    rows = _first_of_each(
        connection,
        f"with named as (select organization_id, count(*) as rows from {mart.name} group by organization_id) "
        "select * from named anti join organizations using (organization_id) where organization_id is not null",
    )
    for row in rows:
        message = f"{mart.name}: organization_id {_shown(row['organization_id'])} in {row['rows']} row(s)"
        yield row["organization_id"], f"{message}; allowed: those of organizations"


Rule = Callable[[duckdb.DuckDBPyConnection, Mart], Iterator[_Found]]
RULES: dict[str, Rule] = {
    "values": _values,
    "keys": _keys,
    "versions": _versions,
    "organizations": _organizations,
}


def _slices(connection: duckdb.DuckDBPyConnection, mart: Mart, key: str) -> Iterator[str]:
    """Conditions that cut a mart so that rows of one `key` stay together: about ROWS_OF_A_SLICE rows each."""
    # The days of a month lie together: DuckDB reads no others.
    month = "date_trunc('month', date)::date" if "date" in mart.meta.key else "null::date"
    counted = connection.execute(f"select {month} as month, count(*) from {mart.name} group by month").fetchall()
    for first_day, rows in counted:
        parts = rows // ROWS_OF_A_SLICE + 1
        conditions = []
        if first_day is not None:
            conditions.append(f"date >= date '{first_day}' and date < date '{first_day}' + interval 1 month")
        for part in range(parts):
            here = [*conditions, f"hash({key}) % {parts} = {part}"] if parts > 1 else conditions
            yield " and ".join(here) or "true"


def _first_of_each(connection: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    """The first rows that a query has of each organization."""
    result = connection.execute(
        f"select * from (\n{query}\n) qualify row_number() over (partition by organization_id) <= {MOST_FINDINGS} "
        "order by all"
    )
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, values, strict=True)) for values in result.fetchall()]


def _organization(mart: Mart) -> str:
    return "organization_id" if any(column.name == "organization_id" for column in mart.columns) else "null"


def _columns(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _named(row: Row) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in row.items())


def _shown(value: object) -> str:
    return "null" if value is None else f"'{value}'"
