"""Which days are known, and daily series with unknown days left open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.core.times import DAY
from jumpcloud_elt.dashboard.queries import Warehouse

States = dict[date, str]


def last_day(until: datetime) -> date:
    """The last day of which something has been read."""
    return (until - timedelta(microseconds=1)).date()


def known_days(warehouse: Warehouse, organization_id: str, first: date, last: date) -> States:
    """How far each day has been read of an organization: `known` where wholly, `partly`, or `unknown`."""
    rows = warehouse.rows("known_days", {"organization_id": organization_id, "first_day": first, "last_day": last})
    return {row["date"]: row["state"] for row in rows}


def since(organizations: Iterable[Row]) -> str:
    """Since when use is known, as each "never" and "unused" says it; empty where of no organization it is.

    `since 30 Sep 2026 (60 days)`; of several that differ, the earliest and the latest.
    """
    known = [row for row in organizations if row["usage_from"] is not None]
    if not known:
        return ""
    first, last = (pick(known, key=lambda row: row["usage_from"]) for pick in (min, max))
    begins = [f"{row['usage_from']:%d %b %Y}".removeprefix("0") for row in (first, last)]
    if begins[0] != begins[1]:
        return f"since {begins[0]} to {begins[1]}, depending on the organization"
    return f"since {begins[0]} ({first['known_days']:,} day{'' if first['known_days'] == 1 else 's'})"


def known_since(organizations: Iterable[Row], chosen: str | None) -> str:
    """The same of the organizations that a list is about: all of which it can be said, or the one that is chosen."""
    asked = [row for row in organizations if chosen in (None, row["organization_id"])]
    return since(row for row in asked if row["is_usage_known"])


def iter_days(first: date, last: date) -> Iterator[date]:
    """Each day, both ends included."""
    while first <= last:
        yield first
        first += DAY


def daily_series(
    first: date, last: date, states: Mapping[date, str], series: Mapping[str, Mapping[date, int]]
) -> dict[str, Any]:
    """Lines over days as the chart draws them: a day of which nothing is known is a gap in each, not a 0."""
    days = list(iter_days(first, last))
    return {
        "days": [int((one - date(1970, 1, 1)).total_seconds()) for one in days],
        "series": [
            {
                "label": label,
                "values": [values.get(one) if states[one] == "unknown" else values.get(one, 0) for one in days],
            }
            for label, values in series.items()
        ],
        "rows": [
            {
                "day": one,
                "state": states[one],
                "values": [
                    values.get(one) if states[one] == "unknown" else values.get(one, 0) for values in series.values()
                ],
            }
            for one in reversed(days)
        ],
    }
