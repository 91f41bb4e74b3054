"""Users by filters over the published warehouse: named ones, no SQL of the caller's.

Nobody is found where the warehouse cannot know: `unused_days` needs every event of that time to have been read, and
that lately. Reads the warehouse; asks JumpCloud nothing, and does not know what becomes of who is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import duckdb

from jumpcloud_elt.actions.models import Filters, FoundUsers
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.reading import open_warehouse
from jumpcloud_elt.warehouse.sql_files import read_sql

# What is older says nothing about today.
STALE_AFTER = timedelta(days=2)
MINUTES = "%Y-%m-%d %H:%M"


def find_users(organization_id: str, filters: Filters) -> FoundUsers:
    """The present users of an organization who are as `filters` ask, as the published warehouse knows them.

    Raises WarehouseError where nothing has been published.
    """
    with open_warehouse() as connection:
        try:
            connection.execute("set variable organization_id = ?::varchar", [organization_id])
            known = _rows(connection, "usage_known")
            reason = _why_users_are_unknown(known, organization_id)
            if filters.unused_days is not None and reason is None:
                reason = _why_usage_is_unknown(known, filters.unused_days)
            if reason is not None:
                return FoundUsers((), reason)
            lists = {
                "statuses": filters.status,
                "lifecycles": filters.lifecycle,
                "departments": filters.department,
                "group_names": filters.group,
                "role_names": filters.role,
            }
            for name, texts in lists.items():
                connection.execute(f"set variable {name} = ?::varchar[]", [list(texts)])
            connection.execute("set variable unused_days = ?::integer", [filters.unused_days])
            found = _rows(connection, "filtered_users")
        except duckdb.Error as error:
            raise WarehouseError(f"The published warehouse cannot be asked: {error}") from error
    return FoundUsers(tuple(row["user_id"] for row in found), usage_until=known[0]["usage_until"])


def _why_users_are_unknown(known: Sequence[dict[str, Any]], organization_id: str) -> str | None:
    if not known or known[0]["directory_synced_at"] is None:
        return f"the warehouse holds no users of organization {organization_id}: run jumpcloud_directory first"
    one = known[0]
    if utc_now() - one["directory_synced_at"] > STALE_AFTER:
        return (
            f"the users of {one['organization_name']} were last synced at {one['directory_synced_at']:{MINUTES}} UTC: "
            "run jumpcloud_directory first"
        )
    return None


def _why_usage_is_unknown(known: Sequence[dict[str, Any]], days: int) -> str | None:
    """Why nobody can be said not to have used anything for so many days."""
    one = known[0]
    name, until = one["organization_name"], one["usage_until"]
    if one["usage_state"] != "available":
        return f"usage of {name} is {one['usage_state']}: {one['usage_state_reason']}"
    if until is None:
        return f"usage of {name} is unknown: no time has been read whole, of log-ins and SSO; run jumpcloud_usage first"
    if utc_now() - until > STALE_AFTER:
        return f"usage of {name} has been read up to {until:{MINUTES}} UTC only: run jumpcloud_usage first"
    since = until - timedelta(days=days)
    if one["usage_from"] > since:
        return (
            f"usage of {name} is known without a gap since {one['usage_from']:{MINUTES}} UTC only; unused_days {days} "
            f"needs all of it, log-ins and SSO, from {since:{MINUTES}} to {until:{MINUTES}} UTC"
        )
    return None


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> list[dict[str, Any]]:
    result = connection.execute(read_sql(f"actions/{name}"))
    names = [column[0] for column in result.description or []]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
