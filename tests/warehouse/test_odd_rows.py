"""Odd rows fail nobody: whatever a field holds, the organization is synced, built and shown, and so are the others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.export import EXPORTS, FORMATS, main
from jumpcloud_elt.reading import MARTS, read_mart
from jumpcloud_sandbox.client import Sandbox
from support.dashboards import FILES, PAGES, visitor
from support.expectations import Insights
from support.pipeline import assert_warehouse_is, query, run_directory, run_usage, run_warehouse, snapshots_of
from support.worlds import DAY, ORGANIZATION, OTHER, TODAY, organization, serve, units_of

# In place of anything: a number, a flag, an object or a list where a text is, a text where those are, nulls within.
ODD: tuple[Any, ...] = (
    None, "", 7, -1.5, 10**15, True, False, "true", "x", {}, [], {"value": "x"}, ["x", None, {"y": [None]}], [[]],
    {"roleName": None, "roleNames": None}, {"roleName": {"x": 1}, "roleNames": "x"}, {"roleNames": [7, None, ["x"]]},
    {"configured": "true"}, {"overallStatus": ["ENROLLED"]}, {"type": 7}, {"type": {"x": None}},
    "a'b\"c", "a\x00b", "<script>alert(1)</script>", "\u202eevil", "x" * 5000, "9" * 400,
)  # fmt: skip
ODD_ALONE = (None, 7, True, "x", {"value": "x"}, ["x", None])
DATES: tuple[Any, ...] = (
    "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "-0044-03-15T00:00:00Z",
    "1500-01-01T00:00:00Z", "1677-01-01T00:00:00Z", "2263-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z", "290000-01-01T00:00:00Z", "2026-02-30T00:00:00Z",
    "2026-11-22T10:00:00", "2026-11-22T10:00:00+05:30", "2026-11-22T10:00:00-0800", "2026-11-22t10:00:00z",
    "2026-11-22T10:00:00.123456789Z", "infinity", "-infinity", "soon", "1700000000", "1700000000000", 1700000000, 0,
    -1, 1.7e12, "", None, {"$date": "2026-11-22T10:00:00Z"}, ["2026-11-22T10:00:00Z"], True,
)  # fmt: skip
USER_FIELDS = (
    "email", "username", "firstname", "lastname", "displayname", "department", "jobTitle", "manager", "state",
    "employeeIdentifier", "costCenter", "company", "location", "created", "activated", "suspended", "account_locked",
    "password_expired", "totp_enabled", "mfa", "mfaEnrollment", "admin",
)  # fmt: skip
ADMINISTRATOR_FIELDS = (
    "email", "firstname", "lastname", "created", "suspended", "totpEnrolled", "roleName", "roleNames", "role", "roles",
)  # fmt: skip
APPLICATION_FIELDS = ("name", "displayName", "displayLabel", "active", "created", "sso")


def rows(prefix: str, fields: tuple[str, ...], **usual: Any) -> list[dict[str, Any]]:
    """A row for each odd value in all of `fields`, one for each in one of them alone, and one for each odd date."""
    odd = [dict.fromkeys(fields, value) for value in ODD]
    odd += [usual | {field: value} for field in fields for value in ODD_ALONE]
    odd += [usual | {"created": value} for value in DATES]
    return [row | {"_id": f"{prefix}{number:023x}"} for number, row in enumerate(odd)]


def odd_organization() -> dict[str, Any]:
    users = rows("1", USER_FIELDS, username="ada", email="ada@x.example")
    applications = rows("2", APPLICATION_FIELDS, name="wiki", displayName="Wiki")
    groups = [{"id": f"3{number:023x}", "type": "user_group", "name": value} for number, value in enumerate(ODD)]
    everybody = [user["_id"] for user in users]
    at = (TODAY - DAY / 2).isoformat() + "Z"
    sign_ons = [
        {
            "id": f"event {number}", "event_type": "sso_auth", "service": "sso", "timestamp": at,
            "sso_token_success": True, "initiated_by": {"type": "user", "id": user, "username": odd, "email": odd},
            "application": {"id": application["_id"], "name": odd, "display_label": odd, "sso_type": odd},
        }
        for number, (user, application, odd) in enumerate(zip(everybody, applications, ODD * 9, strict=False))
    ]  # fmt: skip
    return {
        "id": ORGANIZATION,
        "displayName": "Odd",
        "users": users,
        "administrators": rows("4", ADMINISTRATOR_FIELDS, email="ada@x.example", roleName="Help Desk"),
        "applications": applications,
        "usergroups": groups,
        "memberships": {group["id"]: everybody[:5] for group in groups},
        "application_users": {applications[0]["_id"]: everybody},
        "application_groups": {one["_id"]: [groups[0]["id"]] for one in applications},
        "events": sign_ons,
    }


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.start({"organizations": []}) as started:
        yield started


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    """An odd organization and an even one, of a provider whose links are odd as well."""
    provider = {"id": "e" * 24, "administrators": [{"_id": "7" * 24, "email": {"value": "p@msp.example"}}]}
    provider["links"] = {ORGANIZATION: ["7" * 24, ["7" * 24], {"id": "7" * 24}, 7, None, ""]}
    key = {"key": "sandbox-key", "organizations": [ORGANIZATION, OTHER], "provider_id": provider["id"]}
    world = {"organizations": [odd_organization(), organization(3, OTHER)], "keys": [key], "providers": [provider]}
    running.reset()
    running.set_world(world)
    return running


@pytest.fixture
def viewer(airflow_database: None) -> Iterator[TestClient]:
    with visitor() as client:
        yield client


def test_whatever_a_field_holds_the_organization_is_synced_built_and_shown(
    sandbox: Sandbox, settings: Settings, viewer: TestClient, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert run_directory("directory") == []
    assert run_usage("usage", TODAY - DAY, TODAY) == []
    warehouse = run_warehouse("warehouse")
    assert query(warehouse, "select distinct sync_status, sync_message from organizations") == [
        {"sync_status": "ok", "sync_message": None}
    ]
    insights = [Insights(one, "read", None) for one in (ORGANIZATION, OTHER)]
    units = units_of(sandbox, TODAY - DAY, TODAY)
    assert_warehouse_is(warehouse, snapshots_of(sandbox, settings), units, insights)

    for mart in MARTS:
        frame = read_mart(mart)
        (count,) = query(warehouse, f"select count(*) as n from {mart}")
        assert len(frame) == count["n"]
        assert frame.to_csv() and frame.to_json(date_format="iso")
    for dataset in EXPORTS:
        for form in FORMATS if dataset == "users" else ("csv", "parquet"):
            assert main([dataset, "--format", form]) == 0
            assert capsysbinary.readouterr().out
    of = f"organization_id={ORGANIZATION}"
    everybody = query(warehouse, "select user_id from users where organization_id = ?", [ORGANIZATION])
    applications = query(warehouse, "select application_id from applications where organization_id = ?", [ORGANIZATION])
    addresses = [
        *PAGES,
        *FILES,
        *(f"user?{of}&user_id={one['user_id']}" for one in everybody),
        *(f"application?{of}&application_id={one['application_id']}" for one in applications),
        *(f"{page}?{of.replace('_id', '')}&page={number}" for page in PAGES[1:4] for number in range(1, 6)),
    ]
    assert [address for address in addresses if viewer.get(address).status_code != 200] == []


def test_no_time_is_outside_of_what_clients_can_read(sandbox: Sandbox, settings: Settings) -> None:
    assert run_directory("directory") == []
    warehouse = run_warehouse("warehouse")
    found = query(warehouse, "select created_at from users union all select created_at from applications")
    times = {row["created_at"] for row in found if row["created_at"]}
    assert all(isinstance(one, datetime) for one in times)
    assert {datetime(1, 1, 1), datetime(1500, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)} <= times
    assert datetime(2026, 11, 22, 10, 0, 0, 123456) in times, "nanoseconds are cut off"


@pytest.mark.parametrize("odd", ["../../outside", "a'b", "a/b", "*", "ïd"])
def test_an_organization_whose_id_can_name_no_folder_fails_by_name_and_alone(
    odd: str, sandbox: Sandbox, settings: Settings
) -> None:
    listed = [{"_id": OTHER, "displayName": "Even"}, {"_id": odd, "displayName": "Odd one"}]
    body = {"totalCount": 2, "results": listed}
    sandbox.set_faults({"match": {"path_regex": "organizations$"}, "do": {"body": body}})
    [failed] = run_directory("directory")
    assert failed["organization_name"] == "Odd one" and repr(odd) in failed["reason"]
    [failed] = run_usage("usage", TODAY - DAY, TODAY)
    assert failed["organization_name"] == "Odd one" and repr(odd) in failed["reason"]
    found = query(run_warehouse("warehouse"), "select organization_name, sync_status from organizations order by 1")
    assert [tuple(row.values()) for row in found] == [("Even", "ok"), ("Odd one", "failed")]
    folders = {path.name for path in settings.landing.rglob("organization_id=*")}
    stand_in = query(settings.warehouse, "select organization_id from organizations where sync_status = 'failed'")
    assert folders - {"organization_id=none"} == {
        f"organization_id={one}" for one in (OTHER, stand_in[0]["organization_id"])
    }


@pytest.mark.parametrize("odd", ["a/b", "../../systemusers", "a?limit=1", "a#b", "a'b\\c", "\u00fc"])
def test_a_group_whose_id_would_lead_elsewhere_leads_nowhere_and_fails_its_organization_alone(
    odd: str, sandbox: Sandbox, settings: Settings
) -> None:
    """As a list of members that answers 404 of a group that is still there."""
    one = organization(3)
    one["usergroups"] = [{"id": odd, "type": "user_group", "name": "Odd"}]
    serve(sandbox, one, organization(3, OTHER))
    sandbox.clear_requests()
    failed = run_directory("directory")
    # The sandbox takes a slash in an id for the end of it.
    assert [row["organization_name"] for row in failed] == (["Org c"] if "/" in odd else [])
    asked = {entry["path"] for entry in sandbox.requests() if entry["path"].startswith("/api/v2/usergroups/")}
    assert asked == {f"/api/v2/usergroups/{odd}/members"}
    found = query(run_warehouse("warehouse"), "select organization_name, sync_status from organizations order by 1")
    assert [tuple(row.values()) for row in found] == [("Org c", "failed" if failed else "ok"), ("Org d", "ok")]
