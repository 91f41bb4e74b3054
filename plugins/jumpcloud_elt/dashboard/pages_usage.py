"""Usage: days by source, successes and failures, an activity heat map, and what has been read, with its gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from jumpcloud_elt.dashboard.reading import Row, open_for_request
from jumpcloud_elt.dashboard.rendering import SOURCES, heat_map, render

router = APIRouter()

DAY = timedelta(days=1)
RANGES = {"30": "30 days", "90": "90 days", "365": "1 year", "all": "Everything"}
DEFAULT_RANGE = "90"
Covered = list[tuple[datetime, datetime]]
States = dict[date, str]


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
        coverage = warehouse.rows("coverage", {"organization_id": chosen})
        days: list[Row] = []
        if known:
            last = max((row["usage_until"] - timedelta(microseconds=1)).date() for row in known)
            first = min(row["usage_from"].date() for row in known)
            if range != "all":
                first = max(first, last - (int(range) - 1) * DAY)
            parameters = {"organization_id": chosen, "application_id": None, "first_day": first, "last_day": last}
            days = warehouse.rows("usage_days", parameters)
        built_at = warehouse.built_at
    context: dict[str, Any] = {"chart": None}
    if known:
        context = _shown(days, coverage, known, first, last)
    return render(
        request,
        "usage.html",
        page="usage",
        built_at=built_at,
        organizations=organizations,
        organization=organization,
        range=range,
        ranges=RANGES,
        unknown=[row for row in shown if row["usage_state"] != "available"],
        **context,
    )


def _shown(days: list[Row], coverage: list[Row], known: list[Row], first: date, last: date) -> dict[str, Any]:
    states = known_days(coverage, first, last, [row["organization_id"] for row in known])
    successes, failures = _sums(days, "successes"), _sums(days, "failures")
    by_source = {
        label: {row["date"]: row["successes"] for row in days if row["source"] == source}
        for source, label in SOURCES.items()
    }
    total, failed = sum(successes.values()), sum(failures.values())
    return {
        "first": first,
        "last": last,
        "chart": daily_series(first, last, states, {**by_source, "Failures": failures}),
        "sources": {label: sum(values.values()) for label, values in by_source.items()},
        "successes": total,
        "failures": failed,
        "share_failed": failed / (total + failed) if total + failed else None,
        "days": (last - first).days + 1,
        "days_known": sum(state == "known" for state in states.values()),
        "heat": heat_map(first, last, successes, states),
        "strips": _strips(coverage, known, first, last),
    }


def _sums(days: list[Row], column: str) -> dict[date, int]:
    sums: dict[date, int] = {}
    for row in days:
        sums[row["date"]] = sums.get(row["date"], 0) + row[column]
    return sums


def iter_days(first: date, last: date) -> Iterator[date]:
    """Each day, both ends included."""
    while first <= last:
        yield first
        first += DAY


def known_days(coverage: list[Row], first: date, last: date, organization_ids: list[str] | None = None) -> States:
    """How far each day has been read: `known` where wholly and for every organization, `partly`, or `unknown`."""
    ranges: dict[str, Covered] = {one: [] for one in organization_ids or []}
    for row in coverage:
        ranges.setdefault(row["organization_id"], []).append((row["range_start"], row["range_end"]))
    whole: Counter[date] = Counter()
    touched: set[date] = set()
    for own in ranges.values():
        covered: dict[date, timedelta] = {}
        for since, until in own:
            start, end = max(since, datetime.combine(first, time())), min(until, datetime.combine(last, time()) + DAY)
            while start < end:
                midnight = datetime.combine(start.date(), time()) + DAY
                covered[start.date()] = covered.get(start.date(), timedelta()) + min(end, midnight) - start
                start = midnight
        whole.update(one for one, length in covered.items() if length >= DAY)
        touched.update(covered)
    return {
        one: "known" if ranges and whole[one] == len(ranges) else "partly" if one in touched else "unknown"
        for one in iter_days(first, last)
    }


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


def _strips(coverage: list[Row], known: list[Row], first: date, last: date) -> list[dict[str, Any]]:
    """What has been read of each organization, as shares of the range shown, and its gaps in words."""
    start, end = datetime.combine(first, time()), datetime.combine(last, time()) + DAY
    strips = []
    for organization in known:
        own = [
            (row["range_start"], row["range_end"])
            for row in coverage
            if row["organization_id"] == organization["organization_id"]
        ]
        inside = [(max(start, since), min(end, until)) for since, until in own if since < end and until > start]
        edges = [start, *(edge for one in inside for edge in one), end]
        gaps = [(since, until) for since, until in zip(edges[::2], edges[1::2], strict=True) if since < until]
        strips.append(
            {
                "organization": organization,
                "parts": [
                    {"x": (since - start) / (end - start) * 1000, "width": (until - since) / (end - start) * 1000}
                    for since, until in inside
                ],
                "gaps": gaps,
                "events": sum(
                    row["events"] for row in coverage if row["organization_id"] == organization["organization_id"]
                ),
            }
        )
    return strips
