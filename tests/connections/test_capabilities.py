"""Table `capabilities`: what is synced and which actions are allowed, as the directory runs leave it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_elt.connections.report import SYNC_CAPABILITIES
from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.capabilities import capabilities_path
from jumpcloud_sandbox.client import Sandbox
from support import acting
from support.acting import ORGANIZATION
from support.connections import connection_json
from support.pipeline import query, run_directory, run_warehouse

ONE, TWO = "5f0a1c2e9d3b4a0011225601", "5f0a1c2e9d3b4a0011225602"
CONNECTION = "jumpcloud_default"

Json = dict[str, Any]


def organization(identifier: str, **others: Any) -> Json:
    user = {"_id": identifier[::-1], "email": f"ann@{identifier}.io", "username": "ann", "activated": True}
    event = {
        "id": identifier,
        "service": "directory",
        "event_type": "user_login_attempt",
        "organization": identifier,
        "timestamp": (datetime.now(UTC) - timedelta(days=1)).isoformat().replace("+00:00", "Z"),
        "success": True,
        "initiated_by": {"type": "user", "id": user["_id"]},
    }
    return {"id": identifier, "displayName": identifier, "users": [user], "events": [event], **others}


@pytest.fixture
def world(sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Json:
    """Two organizations, and a key for both; `serve` hands it to the sandbox."""
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, "key-of-both"))
    keys = [{"key": "key-of-both", "organizations": [ONE, TWO], "is_multi_tenant": True, "permission": "write"}]
    return {"organizations": [organization(ONE), organization(TWO)], "keys": keys}


def run(name: str, **arguments: Any) -> Path:
    run_directory(name, **arguments)
    return run_warehouse(f"warehouse of {name}")


def states(warehouse: Path, organization_id: str, kind: str, connection_id: str = CONNECTION) -> dict[str, str]:
    rows = query(
        warehouse,
        "select capability, state from capabilities where organization_id = ? and kind = ? and connection_id = ?",
        [organization_id, kind, connection_id],
    )
    return {row["capability"]: row["state"] for row in rows}


def reasons(warehouse: Path, organization_id: str, kind: str, connection_id: str = CONNECTION) -> set[str | None]:
    rows = query(
        warehouse,
        "select reason from capabilities where organization_id = ? and kind = ? and connection_id = ?",
        [organization_id, kind, connection_id],
    )
    return {row["reason"] for row in rows}


def test_a_synced_organization_can_be_synced_and_acts_only_where_the_connection_says_so(
    sandbox: Sandbox, world: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    world["organizations"][1]["insights"] = "not_enabled"
    sandbox.set_world(world)
    warehouse = run("one")
    assert states(warehouse, ONE, "sync") == dict.fromkeys(SYNC_CAPABILITIES, "yes")
    assert states(warehouse, TWO, "sync") == dict.fromkeys(SYNC_CAPABILITIES, "yes") | {"directory_insights": "no"}
    assert states(warehouse, ONE, "action") == dict.fromkeys(ACTIONS, "no")
    assert reasons(warehouse, ONE, "action") == {
        "Permission of connection jumpcloud_default is read. To allow actions, set it to read_and_act."
    }
    (insights,) = reasons(warehouse, TWO, "sync") - {None}
    assert insights is not None and insights.startswith(
        "Directory Insights is not enabled for this organization (402)."
    )

    acting = connection_json(sandbox.url, "key-of-both", extra={"permission": "read_and_act"})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", acting)
    warehouse = run("two")
    assert states(warehouse, ONE, "action") == dict.fromkeys(ACTIONS, "yes")
    assert reasons(warehouse, ONE, "action") == {None}


@pytest.mark.parametrize(("role", "state"), [("Read Only", "no"), ("Help Desk", "unknown"), ("Administrator", "yes")])
def test_actions_follow_what_is_known_of_the_role(
    sandbox: Sandbox, world: Json, monkeypatch: pytest.MonkeyPatch, role: str, state: str
) -> None:
    world["keys"][0]["role"] = role
    sandbox.set_world(world)
    acting = connection_json(sandbox.url, "key-of-both", extra={"permission": "read_and_act"})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", acting)
    assert states(run("one"), ONE, "action") == dict.fromkeys(ACTIONS, state)


def test_an_organization_that_failed_says_what_of_it_cannot_be_read(sandbox: Sandbox, world: Json) -> None:
    sandbox.set_world(world)
    refused = {"status": 403, "body": {"message": "Forbidden"}}
    sandbox.set_faults({"match": {"organization_id": ONE, "path_regex": "/usergroups$"}, "do": refused})
    warehouse = run("one")
    # Of an organization without applications and groups, who reaches what cannot be tried.
    assert states(warehouse, ONE, "sync") == dict.fromkeys(SYNC_CAPABILITIES, "yes") | {
        "groups": "no",
        "access": "unknown",
    }
    assert states(warehouse, TWO, "sync") == dict.fromkeys(SYNC_CAPABILITIES, "yes")


def test_a_connection_that_fails_as_a_whole_can_do_nothing_with_what_it_synced_before(
    sandbox: Sandbox, world: Json
) -> None:
    sandbox.set_world(world)
    assert set(states(run("one"), ONE, "sync").values()) == {"yes"}
    sandbox.set_world(world | {"keys": [world["keys"][0] | {"key": "another"}]})
    warehouse = run("two")
    for organization_id in (ONE, TWO):
        assert set(states(warehouse, organization_id, "sync").values()) == {"no"}
        assert set(states(warehouse, organization_id, "action").values()) == {"no"}
        (reason,) = reasons(warehouse, organization_id, "sync")
        assert reason is not None and "api key user not found" in reason
    sandbox.set_world(world)
    assert set(states(run("three"), ONE, "sync").values()) == {"yes"}


def test_an_organization_that_nobody_sees_any_longer_can_not_be_synced(sandbox: Sandbox, world: Json) -> None:
    sandbox.set_world(world)
    run("one")
    sandbox.set_world(world | {"keys": [world["keys"][0] | {"organizations": [ONE]}]})
    warehouse = run("two")
    assert set(states(warehouse, ONE, "sync").values()) == {"yes"}
    assert set(states(warehouse, TWO, "sync").values()) == {"no"}
    (reason,) = reasons(warehouse, TWO, "sync")
    assert reason is not None and reason.startswith("No configured connection saw this organization")


def test_a_restricted_run_touches_only_its_own(sandbox: Sandbox, settings: Settings, world: Json) -> None:
    sandbox.set_world(world)
    run("one")
    before = {one: capabilities_path(settings.landing, one).read_bytes() for one in (ONE, TWO)}
    run("two", only=[ONE])
    after = {one: capabilities_path(settings.landing, one).read_bytes() for one in (ONE, TWO)}
    assert (after[ONE] != before[ONE], after[TWO] == before[TWO]) == (True, True)


def test_a_second_connection_to_an_organization_acts_and_does_not_sync(
    sandbox: Sandbox, world: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    world["keys"].append({"key": "writing", "organizations": [ONE], "permission": "write"})
    sandbox.set_world(world)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", f"{CONNECTION},jumpcloud_act")
    acting = connection_json(sandbox.url, "writing", extra={"permission": "read_and_act"})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_ACT", acting)
    warehouse = run("one")
    assert set(states(warehouse, ONE, "sync").values()) == {"yes"}
    assert set(states(warehouse, ONE, "sync", "jumpcloud_act").values()) == {"no"}
    assert reasons(warehouse, ONE, "sync", "jumpcloud_act") == {"Connection jumpcloud_default syncs this organization."}
    assert states(warehouse, ONE, "action", "jumpcloud_act") == dict.fromkeys(ACTIONS, "yes")
    assert states(warehouse, TWO, "action", "jumpcloud_act") == {}
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", f"jumpcloud_act,{TWO}")
    warehouse = run_warehouse("excluded")
    assert query(warehouse, "select distinct connection_id, organization_id from capabilities") == [
        {"connection_id": CONNECTION, "organization_id": ONE}
    ]


def test_the_end_of_the_key_is_there_and_the_key_is_not(sandbox: Sandbox, settings: Settings, world: Json) -> None:
    world["keys"][0] |= {"expires_at": "2099-01-02T03:04:05Z", "key": "key-of-both"}
    sandbox.set_world(world)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, "key-of-both"))
        warehouse = run("one")
    (row,) = query(warehouse, "select distinct key_ends_at::varchar as ends from capabilities")
    assert row == {"ends": "2099-01-02 03:04:05"}
    assert b"key-of-both" not in capabilities_path(settings.landing, ONE).read_bytes()


def test_a_landing_of_before_has_no_capabilities_and_is_built_all_the_same(
    sandbox: Sandbox, settings: Settings, world: Json
) -> None:
    sandbox.set_world(world)
    run_directory("one")
    for one in (ONE, TWO):
        capabilities_path(settings.landing, one).unlink()
    assert query(run_warehouse("warehouse"), "select * from capabilities") == []


def test_an_action_leaves_the_table_as_it_is(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = acting.world()
    world["keys"][0] |= {"permission": "read", "expires_at": "2099-01-02T03:04:05Z"}
    world["keys"].append({**world["keys"][0], "key": "writing", "organizations": [ORGANIZATION], "permission": "write"})
    sandbox.set_world(world)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", f"{CONNECTION},jumpcloud_act")
    extra = {"permission": "read_and_act"}
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_ACT", connection_json(sandbox.url, "writing", extra=extra))
    everything = "select * exclude (checked_at) from capabilities order by all"
    before = query(run("directory"), everything)
    assert {(row["connection_id"], row["state"]) for row in before if row["kind"] == "action"} >= {
        (CONNECTION, "no"),
        ("jumpcloud_act", "yes"),
    }
    assert {str(row["key_ends_at"]) for row in before} == {"2099-01-02 03:04:05"}
    ran = acting.run_action("run", acting.params("suspend", "bob", connection_id="jumpcloud_act"))
    assert (ran.errors, ran.skipped) == ({}, {})
    assert query(run_warehouse("warehouse"), everything) == before
