"""Small worlds to serve, and what the demo's world amounts to: units and states, for the expectation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from jumpcloud_sandbox.client import Sandbox
from support.expectations import Insights, Unit

ORGANIZATION = "c" * 24
OTHER = "d" * 24
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
DAY = timedelta(days=1)
# The first day of a world that changes day by day.
FIRST_DAY = TODAY - 5 * DAY


def units_of(sandbox: Sandbox, start: datetime, end: datetime) -> list[Unit]:
    """The world's events as daily units from `start` to `end`, as the API gives them: both bounds inclusive."""
    organizations = [one for one in sandbox.world()["organizations"] if one["insights"] == "enabled"]
    return [unit for one in organizations for unit in units_of_organization(one, start, end)]


def units_of_organization(organization: dict[str, Any], start: datetime, end: datetime) -> list[Unit]:
    """The same of one organization."""
    units = []
    while start < end:
        inside = [
            event
            for event in organization["events"]
            if event["service"] in ("directory", "sso") and start <= _moment(event) <= start + DAY
        ]
        units.append(Unit(organization["id"], start, start + DAY, end, inside))
        start += DAY
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


def users(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"_id": f"1{number:023x}", "username": f"user{number}", "email": f"user{number}@x.io"}
        for number in range(first, first + count)
    ]


def organization(count: int, organization_id: str = ORGANIZATION) -> dict[str, Any]:
    return {"id": organization_id, "displayName": f"Org {organization_id[0]}", "users": users(count)}


def serve(sandbox: Sandbox, *organizations: dict[str, Any]) -> None:
    keys = [{"key": "sandbox-key", "organizations": [one["id"] for one in organizations]}]
    sandbox.set_world({"organizations": list(organizations), "keys": keys})
