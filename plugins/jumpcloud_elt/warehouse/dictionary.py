"""The data dictionary: `include/sql/marts/<mart>.yml`, in the form of dbt's model properties (dbt 1.10.5 or later).

The one list of marts, their order and columns. The build, its checks, the comments in the warehouse and the documents
are made from it (`checks`, `dictionary_pages`).
"""

from __future__ import annotations

import functools
from typing import Literal

import duckdb
import msgspec

from jumpcloud_elt.warehouse.sql_files import quote, sql_folder


class _Properties(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    pass


class _Values(_Properties):
    values: list[str]


class _Arguments(_Properties):
    arguments: _Values


class _AcceptedValues(_Properties):
    accepted_values: _Arguments


class MartColumn(_Properties):
    """A column: `data_type` as DuckDB names it in lower case."""

    name: str
    description: str
    data_type: str
    data_tests: list[Literal["not_null"] | _AcceptedValues] = []

    @property
    def is_nullable(self) -> bool:
        return "not_null" not in self.data_tests

    @property
    def accepted_values(self) -> list[str]:
        """All values that the column may hold, but for null; empty where the set is open."""
        tests = [test for test in self.data_tests if isinstance(test, _AcceptedValues)]
        return [value for test in tests for value in test.accepted_values.arguments.values]

    @property
    def text(self) -> str:
        """The description, with the accepted values."""
        values = ", ".join(f"`{value}`" for value in self.accepted_values)
        return f"{self.description} Values: {values}." if values else self.description


class _Meta(_Properties):
    order: int
    kind: Literal["table", "view"]
    grain: str
    key: list[str]
    source: str


class _Config(_Properties):
    meta: _Meta


class Mart(_Properties):
    """A mart. `meta.order` is the order of builds and documents: a mart comes after those that its SQL reads.

    `meta.key` is unique, nulls being equal; it is empty for a mart of one row.
    """

    name: str
    description: str
    config: _Config
    columns: list[MartColumn]

    @property
    def meta(self) -> _Meta:
        return self.config.meta


class _File(_Properties):
    version: Literal[2]
    models: list[Mart]


@functools.cache
def marts() -> tuple[Mart, ...]:
    """Every mart, in order. Raises msgspec.ValidationError for a file that is not of this form."""
    files = (sql_folder() / "marts").glob("*.yml")
    found = [mart for file in files for mart in msgspec.yaml.decode(file.read_bytes(), type=_File).models]
    return tuple(sorted(found, key=lambda mart: mart.meta.order))


def comment(connection: duckdb.DuckDBPyConnection) -> None:
    """Give every mart and column its description as DuckDB's comment, in one transaction: there are hundreds."""
    connection.execute("begin")
    for mart in marts():
        connection.execute(f"comment on {mart.meta.kind} {mart.name} is {quote(mart.description)}")
        for column in mart.columns:
            connection.execute(f"comment on column {mart.name}.{column.name} is {quote(column.text)}")
    connection.execute("commit")
