"""Users, applications and access for other tools: CSV, Parquet, and what SaaS-management products import.

    python -m jumpcloud_elt.export users --format saas-import --output users.json

Rows are those of the dashboard's lists, by the same queries. A file appears whole or not at all. `saas-import` is a
JSON array of one object per account; its licences are the listed applications that the account can reach, for those
are the seats that are paid for. Reads the published warehouse; sends nothing anywhere.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from jumpcloud_elt.errors import JumpCloudError
from jumpcloud_elt.reading import open_warehouse, unreadable
from jumpcloud_elt.warehouse.sql_files import read_sql

EXPORT_BATCH_ROWS = 10_000
# Where a spreadsheet may see a cell begin: some part cells at semicolons, whatever the file says, and some take the
# wide signs for the plain ones.
FORMULA = re.compile(r"(^|[;,\t\r\n]\s*)([=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")

# A data set is a query under include/sql/dashboard: its filters, and the order of its rows.
EXPORTS: Mapping[str, tuple[Sequence[str], str]] = {
    "users": (
        ("organization_id", "status", "lifecycle", "role", "usage_state", "idle_days", "last_used_before", "search"),
        "organization_id, user_id",
    ),
    "applications": (
        ("organization_id", "is_listed", "usage_state", "idle_days", "search"),
        "organization_id, application_id",
    ),
    "access": (
        ("organization_id", "application_id", "user_id", "has_access", "usage_state", "idle_days", "search"),
        "organization_id, application_id, user_id",
    ),
}

SAAS_IMPORT = "saas-import"
FORMATS = {"csv": "csv", "parquet": "parquet", SAAS_IMPORT: "json"}

# As the products that import them name them.
SAAS_FIELDS = {
    "id": "id",
    "email": "email",
    "first_name": "firstName",
    "last_name": "lastName",
    "status": "status",
    "external_status": "externalStatus",
    "roles": "roles",
    "last_used_date": "lastUsedDate",
    "licenses": "licenses",
}


def no_filters(dataset: str) -> dict[str, Any]:
    """The parameters of a data set's query that let every row through."""
    return dict.fromkeys(EXPORTS[dataset][0])


def write_csv(
    connection: duckdb.DuckDBPyConnection,
    dataset: str,
    parameters: Mapping[str, Any],
    file: BinaryIO,
    *,
    order: str | None = None,
    is_for_spreadsheet: bool = False,
) -> None:
    """Write a data set as CSV (UTF-8, times in ISO form with Z, lists joined by semicolons).

    For a spreadsheet text that it would take for a formula gets an apostrophe before it, and the file a byte order
    mark; other tools get the text as it is.
    """
    names, batches = _batches(connection, _ordered(dataset, order), parameters)
    text = io.TextIOWrapper(file, encoding="utf-8-sig" if is_for_spreadsheet else "utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    for batch in batches:
        writer.writerows([_cell(value, is_for_spreadsheet) for value in row] for row in batch)
    text.flush()
    text.detach()


def write_parquet(
    connection: duckdb.DuckDBPyConnection,
    dataset: str,
    parameters: Mapping[str, Any],
    file: BinaryIO,
    *,
    order: str | None = None,
) -> None:
    """Write a data set as Parquet, with the types of the warehouse."""
    rows = connection.sql(_ordered(dataset, order), params=dict(parameters))
    # DuckDB 1.4 has it under another name.
    name = "to_arrow_reader" if hasattr(rows, "to_arrow_reader") else "fetch_arrow_reader"
    reader: pa.RecordBatchReader = getattr(rows, name)(EXPORT_BATCH_ROWS)
    with pq.ParquetWriter(file, reader.schema, compression="zstd") as writer:
        for batch in reader:
            writer.write_batch(batch)


def write_saas_import(
    connection: duckdb.DuckDBPyConnection, parameters: Mapping[str, Any], file: BinaryIO, *, order: str | None = None
) -> None:
    """Write users as a JSON array of objects with the fields of `SAAS_FIELDS`; unknown ones are null."""
    chosen, importable = read_sql("dashboard/users"), read_sql("dashboard/saas_import")
    text = f"with chosen as ({chosen}), import as ({importable}) select * from import order by id"
    names, batches = _batches(connection, text, parameters)
    fields = [SAAS_FIELDS[name] for name in names]
    separator = "[\n"
    for batch in batches:
        for row in batch:
            item = json.dumps(dict(zip(fields, row, strict=True)), ensure_ascii=False)
            file.write(f"{separator}{item}".encode())
            separator = ",\n"
    file.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="jumpcloud-export", description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("dataset", choices=EXPORTS, help="what to write")
    parser.add_argument("--format", choices=FORMATS, default="csv", help="saas-import: of users only")
    parser.add_argument("--organization", metavar="ID", help="only this organization")
    parser.add_argument("--output", metavar="FILE", default="-", help="a file; - (the default) for standard output")
    parser.add_argument("--warehouse", metavar="FILE", help="a DuckDB file instead of the configured warehouse")
    given = parser.parse_args(arguments)
    if given.format == SAAS_IMPORT and given.dataset != "users":
        parser.error("--format: saas-import given; allowed for applications and access: csv, parquet")
    parameters = no_filters(given.dataset) | {"organization_id": given.organization}
    try:
        with open_warehouse(given.warehouse) as connection:
            connection.execute("set timezone = 'UTC'")
            known = connection.execute("select organization_id from organizations order by 1").fetchall()
            if given.organization and (given.organization,) not in known:
                allowed = ", ".join(one for (one,) in known) or "none: nothing has been synced"
                parser.error(f"--organization: {given.organization!r} given; allowed: {allowed}")
            _write_file(given.output, lambda file: _write(connection, given.dataset, given.format, parameters, file))
    except duckdb.Error as error:
        print(f"{parser.prog}: {unreadable(error)}", file=sys.stderr)
        return 1
    except (JumpCloudError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _write(
    connection: duckdb.DuckDBPyConnection, dataset: str, form: str, parameters: Mapping[str, Any], file: BinaryIO
) -> None:
    if form == SAAS_IMPORT:
        write_saas_import(connection, parameters, file)
    elif form == "parquet":
        write_parquet(connection, dataset, parameters, file)
    else:
        write_csv(connection, dataset, parameters, file)


def _write_file(output: str, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a file beside its place, and move it there when it is whole."""
    if output == "-":
        sys.stdout.buffer.write(_whole(write))
        sys.stdout.buffer.flush()
        return
    # A link stays one. What is no file, as a named pipe or a device, is written to and never replaced.
    target = Path(output).resolve()
    if target.exists() and not target.is_file():
        with target.open("wb") as place:
            place.write(_whole(write))
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _whole(write: Callable[[BinaryIO], None]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def _ordered(dataset: str, order: str | None) -> str:
    """Every row of a data set. A column that begins with _ is the dashboard's own."""
    rows = read_sql(f"dashboard/{dataset}")
    return f"select columns('^[^_]') from ({rows}) order by {order or EXPORTS[dataset][1]}"


def _batches(
    connection: duckdb.DuckDBPyConnection, text: str, parameters: Mapping[str, Any]
) -> tuple[list[str], Iterator[list[tuple[Any, ...]]]]:
    """The names of a query's columns, and its rows by and by: the whole of them may be more than memory holds."""
    result = connection.execute(text, dict(parameters))
    return [column[0] for column in result.description or []], iter(lambda: result.fetchmany(EXPORT_BATCH_ROWS), [])


def _cell(value: Any, is_for_spreadsheet: bool) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z"
    if isinstance(value, date):
        return value.isoformat()
    text = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
    # A formula can send what stands beside it to whoever wrote it.
    return FORMULA.sub(r"\1'\2", text) if is_for_spreadsheet else text


if __name__ == "__main__":
    sys.exit(main())
