"""The warehouse's definitions, row for row, against an expectation that shares nothing with the SQL."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from expectations import Insights, Unit
from jumpcloud_elt.core.settings import Settings
from pipeline import assert_warehouse_is, query, run_directory, run_usage, run_warehouse, snapshots_of
from sandbox.client import Sandbox
from sandbox.generate import NORTHWIND

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
DAY = timedelta(days=1)


def units_of(sandbox: Sandbox, start: datetime, end: datetime) -> list[Unit]:
    """The world's events as daily units from `start` to `end`, as the API gives them: both bounds inclusive."""
    units = []
    for organization in sandbox.world()["organizations"]:
        if organization["insights"] != "enabled":
            continue
        first = start
        while first < end:
            inside = [
                event
                for event in organization["events"]
                if event["service"] in ("directory", "sso") and first <= _moment(event) <= first + DAY
            ]
            units.append(Unit(organization["id"], first, first + DAY, end, inside))
            first += DAY
    return units


def _moment(event: dict[str, str]) -> datetime:
    """As the API compares: milliseconds, finer digits cut off."""
    moment = datetime.fromisoformat(event["timestamp"]).replace(tzinfo=None)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def insights_of(sandbox: Sandbox) -> list[Insights]:
    return [
        Insights(one["id"], "read" if one["insights"] in ("enabled", "empty") else "unavailable", None)
        for one in sandbox.world()["organizations"]
    ]


def test_every_row_of_the_demo_is_as_defined(sandbox: Sandbox, settings: Settings) -> None:
    start = TODAY - 60 * DAY
    assert run_directory("directory") == []
    assert run_usage("usage", start, TODAY) == []
    warehouse = run_warehouse("warehouse")
    assert_warehouse_is(
        warehouse, snapshots_of(sandbox, settings), units_of(sandbox, start, TODAY), insights_of(sandbox)
    )


def test_a_query_of_one_organization_and_one_week_opens_nothing_else(sandbox: Sandbox, settings: Settings) -> None:
    assert run_usage("usage", TODAY - 30 * DAY, TODAY) == []
    warehouse = run_warehouse("warehouse")
    week = [NORTHWIND, TODAY - 10 * DAY, TODAY - 3 * DAY]
    where = "where organization_id = ? and date >= ?::date and date < ?::date"
    (plan,) = query(warehouse, f"explain analyze select count(*) from events {where}", week)
    assert re.search(r"Total Files Read: (\d+)", plan["explain_value"]).group(1) == "7"  # type: ignore[union-attr]
    (row,) = query(warehouse, f"select count(*) as n, count(distinct date) as days from events {where}", week)
    assert row["n"] > 100 and row["days"] == 7
