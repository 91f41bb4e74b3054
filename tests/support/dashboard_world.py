"""A published warehouse for the tests of the dashboard: the demo's world with what makes pages hard in it.

`publish_demo`: hostile names, an organization without Directory Insights, one that is held, two days never read.
`publish_changed`: months of usage with gaps, people who stopped using things, two snapshots, two connections.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND, UNNAMED
from support.connections import API_KEY, connection_json
from support.pipeline import run_directory, run_usage, run_warehouse

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
SCRIPT = "<script>alert(1)</script>"
RIGHT_TO_LEFT = "\u202eevil \u0645\u0631\u062d\u0628\u0627"
LONG = "x" * 300
FORMULA = '=HYPERLINK("http://elsewhere.example","click")'
HOSTILE = (SCRIPT, RIGHT_TO_LEFT, LONG, FORMULA)


def publish_demo(data_root: Path, sandbox: Sandbox) -> Path:
    """Sync the sandbox's world into `data_root`; returns the published file."""
    sandbox.reset()
    world = sandbox.organization(NORTHWIND)
    for user, name in zip(world["users"], HOSTILE, strict=False):
        user |= {"displayname": name, "firstname": name, "department": name}
    for application in world["applications"]:
        # Where pictures are taken there may be no font for anything else.
        if label := application.get("displayLabel"):
            application["displayLabel"] = label.encode("ascii", "ignore").decode().strip()
    # Of those that people use, and not in every picture.
    next(one for one in world["applications"] if one.get("displayLabel") == "Salesforce")["displayLabel"] = SCRIPT
    next(one for one in world["usergroups"] if one["name"] == "Sales")["name"] = SCRIPT
    sandbox.set_organization(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(data_root))
        patch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY))
        assert run_directory("manual__2026-01-01T00:00:00+00:00") == []
        assert run_usage("usage", TODAY - 20 * DAY, TODAY - 10 * DAY) == []
        assert run_usage("usage_later", TODAY - 8 * DAY, TODAY) == []
        unnamed = sandbox.organization(UNNAMED)
        unnamed["users"] = unnamed["users"][:1]
        sandbox.set_organization(unnamed)
        patch.setenv("AIRFLOW__JUMPCLOUD_ELT__DRIFT_USERS", "1")
        assert run_directory("manual__2026-01-02T00:00:00+00:00") == []
        return run_warehouse("warehouse")


def publish_changed(data_root: Path, sandbox: Sandbox) -> Path:
    """Sync a world that changes between two snapshots; returns the published file.

    Usage is read of a time without events, and then with gaps. Some people stopped long ago; one of them, and one who
    went on, are deleted; one loses the groups that gave access, one changes.
    """
    sandbox.reset()
    world = sandbox.organization(NORTHWIND)
    used = Counter(event["initiated_by"]["id"] for event in world["events"] if event["event_type"] == "sso_auth")
    # The first two are named by some events in other ways.
    people = [user for user in world["users"] if user["id"] in used and not user["suspended"]][2:10]
    ids = [user["id"] for user in people]
    stopped = dict(zip(ids[:4], (38, 68, 110, 110), strict=True))
    kept = []
    for event in world["events"]:
        days = stopped.get((event.get("initiated_by") or {}).get("id"))
        if days is None:
            kept.append(event)
        elif event["event_type"] == "sso_auth" and not event["error_message"]:
            kept.append(event | {"timestamp": f"{TODAY - days * DAY:%Y-%m-%d}T{len(kept) % 24:02}:30:00Z"})
    world["events"] = kept
    sandbox.set_organization(world)
    # Of the older days nothing can be said there: they are empty, and before the first event.
    unnamed = sandbox.organization(UNNAMED)
    unnamed["events"] = [event for event in unnamed["events"] if event["timestamp"] > f"{TODAY - 60 * DAY:%Y-%m-%d}"]
    sandbox.set_organization(unnamed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(data_root))
        patch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jumpcloud_default,second")
        kept_long = {"usage_retention_days": 200}
        others = {"organization_ids": [BLUE_YONDER, UNNAMED], **kept_long}
        patch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY, extra=others))
        patch.setenv("AIRFLOW_CONN_SECOND", connection_json(sandbox.url, "sandbox-key-northwind", extra=kept_long))
        assert run_directory("first") == []
        for since, until in ((130, 127), (112, 108), (70, 66), (40, 34), (20, 10), (8, 0)):
            assert run_usage(f"usage {since}", TODAY - since * DAY, TODAY - until * DAY) == []
        world = sandbox.organization(NORTHWIND)
        world["users"] = [user for user in world["users"] if user["id"] not in (ids[3], ids[4])]
        for user in world["users"]:
            if user["id"] == ids[6]:
                user |= {"department": "Moved", "suspended": True, "state": "SUSPENDED"}
        world["memberships"] = {
            group: [member for member in members if member != ids[5]] for group, members in world["memberships"].items()
        }
        sandbox.set_organization(world)
        assert run_directory("second") == []
        return run_warehouse("warehouse")
