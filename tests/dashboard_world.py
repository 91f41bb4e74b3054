"""A published warehouse for the tests of the dashboard: the demo's world with what makes pages hard in it.

Hostile names, an organization without Directory Insights, one that is held, and two days that were never read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from connections import API_KEY, connection_json
from pipeline import run_directory, run_usage, run_warehouse
from sandbox.client import Sandbox
from sandbox.generate import NORTHWIND, UNNAMED

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
