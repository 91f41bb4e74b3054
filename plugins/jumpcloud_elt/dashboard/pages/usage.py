"""Usage: days by source, successes and failures, an activity heat map, and what has been read, with its gaps."""

from __future__ import annotations

import itertools
from datetime import datetime, time
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.core.times import DAY
from jumpcloud_elt.dashboard.charts import heat_map
from jumpcloud_elt.dashboard.coverage import daily_series, last_day
from jumpcloud_elt.dashboard.queries import Warehouse, open_for_request
from jumpcloud_elt.dashboard.rendering import SOURCES, render

router = APIRouter()
RANGES = {"30": "30 days", "90": "90 days", "365": "1 year", "all": "Everything"}
DEFAULT_RANGE = "90"
# Of more organizations than these nobody looks at every gap at once; one is chosen for its own.
MOST_STRIPS = 20


@router.api_route("/usage", methods=["GET", "HEAD"])
def usage(request: Request, organization: str = "", range: str = DEFAULT_RANGE) -> HTMLResponse:
    """The course of usage of one organization, or of all of which it is known."""
    if range not in RANGES:
        raise HTTPException(400, f"range: {range!r} given; allowed: {', '.join(RANGES)}")
    chosen = organization or None
    with open_for_request() as warehouse:
        warehouse.require("usage_by_day")
        organizations = warehouse.rows("organizations")
        if chosen is not None and chosen not in {row["organization_id"] for row in organizations}:
            raise HTTPException(404, "There is no such organization in this warehouse.")
        shown = [row for row in organizations if chosen in (None, row["organization_id"])]
        known = [row for row in shown if row["usage_from"] is not None]
        unknown = [row for row in shown if not row["is_usage_known"]]
        context = _shown(warehouse, chosen, known, range) if known else {"chart": None}
        return render(
            request,
            "usage.html",
            page="usage",
            built_at=warehouse.built_at,
            organizations=organizations,
            organization=organization,
            range=range,
            ranges=RANGES,
            unknown=unknown,
            most_unknown=MOST_STRIPS,
            **context,
        )


def _shown(warehouse: Warehouse, chosen: str | None, known: list[Row], range: str) -> dict[str, Any]:
    until = max(row["usage_until"] for row in known)
    last = last_day(until)
    first = min(row["covered_from"] for row in known)
    if range != "all":
        first = max(first, last - (int(range) - 1) * DAY)
    warehouse.find_ranges(organization_id=chosen, days=(last - first).days + 1)
    states = warehouse.rows("known_days", {"organization_id": chosen, "first_day": first, "last_day": last})
    rows = warehouse.rows(
        "usage_days", {"organization_id": chosen, "application_id": None, "first_day": first, "last_day": last}
    )
    days = {row["date"]: row for row in rows if row["date"] is not None and row["source"] is None}
    sums = {row["source"]: row for row in rows if row["date"] is None}
    by_source = {
        label: {row["date"]: row["successes"] for row in rows if row["date"] is not None and row["source"] == source}
        for source, label in SOURCES.items()
    }
    failures = {one: row["failures"] for one, row in days.items()}
    state_of = {row["date"]: row["state"] for row in states}
    strips = warehouse.rows("strips", {"organization_id": chosen, "most": MOST_STRIPS})
    return {
        "first": first,
        "last": last,
        "chart": daily_series(first, last, state_of, {**by_source, "Failures": failures}),
        "sources": {label: sums[source]["successes"] if source in sums else 0 for source, label in SOURCES.items()},
        "failures": sums[None]["failures"],
        "share_failed": sums[None]["share_failed"],
        "days": states[0]["days"],
        "days_known": states[0]["days_known"],
        "heat": heat_map(first, last, {one: row["successes"] for one, row in days.items()}, state_of),
        "strips": _strips(strips, datetime.combine(first, time()), until),
        "strips_left_out": strips[0]["organizations"] - MOST_STRIPS,
    }


def _strips(rows: list[Row], start: datetime, end: datetime) -> list[dict[str, Any]]:
    """What has been read of each organization, as shares of the time shown, and its gaps in words."""
    strips = []
    for _, group in itertools.groupby(rows, key=lambda row: row["organization_id"]):
        own = list(group)
        inside = [
            (max(start, row["range_start"]), min(end, row["range_end"]))
            for row in own
            if row["range_start"] is not None and row["range_start"] < end and row["range_end"] > start
        ]
        edges = [start, *(edge for one in inside for edge in one), end]
        strips.append(
            {
                "organization": own[0],
                "parts": [
                    {"x": (since - start) / (end - start) * 1000, "width": (until - since) / (end - start) * 1000}
                    for since, until in inside
                ],
                "gaps": [(since, until) for since, until in zip(edges[::2], edges[1::2], strict=True) if since < until],
            }
        )
    return strips
