"""The checks of a built warehouse: what they find, and of which organization."""

from __future__ import annotations

import duckdb
import msgspec

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.warehouse.dictionary import marts
from jumpcloud_elt.warehouse.mart_checks import broken_rules
from jumpcloud_elt.warehouse.sql_files import read_sql

CHECKS = ("check_organizations", "check_secrets", "check_counts")


class Finding(msgspec.Struct, frozen=True):
    """Rows that break a check. `organization_id` is None where no single organization explains them."""

    organization_id: str | None
    check: str
    message: str


def find_broken(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[Finding]:
    """What the checks find in an open warehouse; the first rows of each."""
    found = [Finding(None, "rules", line) for mart in marts() for line in broken_rules(connection, mart)]
    for name in CHECKS:
        rows = connection.execute(read_sql(f"checks/{name}")).fetchmany(5)
        found += [Finding(None, name, f"{name}: {row}") for row in rows]
    return found
