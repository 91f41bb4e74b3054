"""Public JumpCloud payloads, through the sandbox into landing, staging and marts: as defined, row for row.

The samples are others' data and not part of this repository; where they are absent, so are these tests.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json
from support.expectations import Insights, Unit
from support.paths import SAMPLES
from support.pipeline import assert_warehouse_is, query, run_directory, run_usage, run_warehouse, snapshots_of

DAY = timedelta(days=1)
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the public samples are not beside this repository")


def sample_events() -> dict[str, list[dict[str, Any]]]:
    """Events by organization."""
    events: dict[str, list[dict[str, Any]]] = {}
    for file in ("sekoia_directory_insights_events.ndjson", "sso_auth_2026_readme_sample.ndjson",
                 "derived/user_login_attempt.ndjson"):  # fmt: skip
        for line in (SAMPLES / file).read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            events.setdefault(event["organization"], []).append(event)
    return events


def recorded(url: str) -> list[dict[str, Any]]:
    """The rows of the latest recording of a listing."""
    body = json.loads((SAMPLES / "jupiterone_har_responses.json").read_text(encoding="utf-8"))[url][0]["body"]
    rows: list[dict[str, Any]] = body["results"] if isinstance(body, dict) else body
    return rows


def sample_world() -> dict[str, Any]:
    console = "https://console.jumpcloud.com/api"
    user = recorded(f"{console}/systemusers?limit=100&skip=0")[0]
    application = recorded(f"{console}/applications?limit=100&skip=0")[0]
    groups = recorded(f"{console}/v2/usergroups?limit=100&skip=0")
    events = sample_events()
    first, *others = sorted(events)
    organizations: list[dict[str, Any]] = [
        {
            "id": first,
            "displayName": None,
            "users": [user],
            "applications": [application],
            "usergroups": groups,
            "memberships": {groups[1]["id"]: [user["_id"]]},
            "application_groups": {application["_id"]: [groups[1]["id"]]},
            "events": events[first],
        }
    ]
    organizations += [{"id": one, "displayName": "Howdy", "events": events[one]} for one in others]
    return {
        "organizations": organizations,
        "keys": [{"key": "sandbox-key", "organizations": [one["id"] for one in organizations]}],
    }


def units_of(world: dict[str, Any], days: list[datetime], services: tuple[str, ...]) -> list[Unit]:
    return [
        Unit(
            one["id"],
            day,
            day + DAY,
            day + DAY,
            [
                event
                for event in one["events"]
                if event["service"] in services and event["timestamp"][:10] == f"{day:%Y-%m-%d}"
            ],
        )
        for one in world["organizations"]
        for day in days
    ]


def test_public_samples_reach_the_marts_as_defined(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connection_json(sandbox.url, "sandbox-key", extra={"usage_retention_days": 3650})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,radius")
    world = sample_world()
    sandbox.set_world(world)
    assert run_directory("directory") == []
    days = sorted(
        {datetime.fromisoformat(event["timestamp"][:10]) for events in sample_events().values() for event in events}
    )
    for day in days:
        assert run_usage(f"usage-{day:%Y-%m-%d}", day, day + DAY) == []
    warehouse = run_warehouse("warehouse")
    assert_warehouse_is(
        warehouse,
        snapshots_of(sandbox, settings),
        units_of(world, days, ("directory", "sso", "radius")),
        [Insights(one["id"], "read", None) for one in world["organizations"]],
    )
    used = query(warehouse, "select source, sum(successes) as n from usage_daily group by source order by source")
    assert used == [
        {"source": "admin_portal", "n": 1},
        {"source": "sso", "n": 2},
        {"source": "user_portal", "n": 1},
    ]


def test_public_events_land_with_the_very_payload_received(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connection_json(sandbox.url, "sandbox-key", extra={"usage_retention_days": 3650})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "all")
    sandbox.set_world(sample_world())
    landed: dict[str, Any] = {}
    for day in {event["timestamp"][:10] for events in sample_events().values() for event in events}:
        start = datetime.fromisoformat(day)
        assert run_usage(f"usage-{day}", start, start + DAY) == []
    for file in settings.landing.glob("directory_insights_events/*/*/*.parquet"):
        for row in pq.read_table(file, partitioning=None).to_pylist():
            landed[row["event_id"]] = json.loads(row["payload"])
    assert landed == {event["id"]: event for events in sample_events().values() for event in events}
