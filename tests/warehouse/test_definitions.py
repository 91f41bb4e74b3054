"""The warehouse's definitions, row for row, against an expectation that shares nothing with the SQL."""

from __future__ import annotations

import re

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import NORTHWIND
from support.expectations import Attempt
from support.pipeline import assert_warehouse_is, query, run_directory, run_usage, run_warehouse, snapshots_of
from support.worlds import DAY, TODAY, insights_of, units_of


def test_every_row_of_the_demo_is_as_defined(sandbox: Sandbox, settings: Settings) -> None:
    start = TODAY - 60 * DAY
    assert run_directory("directory") == []
    assert run_usage("usage", start, TODAY) == []
    warehouse = run_warehouse("warehouse")
    snapshots, insights = snapshots_of(sandbox, settings), insights_of(sandbox)
    attempts = [Attempt(one.organization_id, "directory", TODAY, "directory", "ok") for one in snapshots]
    attempts += [
        Attempt(
            one.organization_id,
            "usage",
            TODAY,
            "usage",
            "ok" if one.state == "read" else "skipped",
            interval=(start, TODAY),
        )
        for one in insights
    ]
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, start, TODAY), insights, attempts=attempts)


def test_a_query_of_one_organization_and_one_week_opens_nothing_else(sandbox: Sandbox, settings: Settings) -> None:
    assert run_usage("usage", TODAY - 30 * DAY, TODAY) == []
    warehouse = run_warehouse("warehouse")
    week = [NORTHWIND, TODAY - 10 * DAY, TODAY - 3 * DAY]
    where = "where organization_id = ? and date >= ?::date and date < ?::date"
    (plan,) = query(warehouse, f"explain analyze select count(*) from events {where}", week)
    assert re.search(r"Total Files Read: (\d+)", plan["explain_value"]).group(1) == "7"  # type: ignore[union-attr]
    (row,) = query(warehouse, f"select count(*) as n, count(distinct date) as days from events {where}", week)
    assert row["n"] > 100 and row["days"] == 7
