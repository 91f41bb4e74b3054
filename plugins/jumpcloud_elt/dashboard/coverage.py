"""Which days are known, and daily series with unknown days left open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from jumpcloud_elt.dashboard.queries import Warehouse

DAY = timedelta(days=1)
States = dict[date, str]


def last_day(until: datetime) -> date:
    """The last day of which something has been read."""
    return (until - timedelta(microseconds=1)).date()


def known_days(warehouse: Warehouse, organization_id: str, first: date, last: date) -> States:
    """How far each day has been read of an organization: `known` where wholly, `partly`, or `unknown`."""
    warehouse.find_ranges(organization_id=organization_id, days=(last - first).days + 1)
    rows = warehouse.rows("known_days", {"organization_id": organization_id, "first_day": first, "last_day": last})
    return {row["date"]: row["state"] for row in rows}


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
