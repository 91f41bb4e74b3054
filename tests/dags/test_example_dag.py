"""The example of a Dag that somebody else writes with the hook: it parses, and does what it says."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from support.acting import ORGANIZATION, STAFF, allow, members_of, user_id, user_of, world
from support.connections import API_KEY, connection_json
from support.paths import ROOT

EXAMPLE = ROOT / "plugins" / "jumpcloud_elt" / "example_dags" / "suspend_leavers.py"


@pytest.fixture
def example() -> DAG:
    bag = DagBag(EXAMPLE)
    assert bag.import_errors == {}
    return bag.dags["suspend_leavers"]


def test_the_example_suspends_leavers_once(
    example: DAG, settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = world()
    ada = start["organizations"][0]["users"][0]
    ada["username"] = "ada.lovelace"
    sandbox.set_world(start)
    connection = connection_json(sandbox.url, API_KEY, extra={"permission": "read_and_act"})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_ACTING", connection)
    suspend = example.get_task("suspend").python_callable
    monkeypatch.setitem(suspend.__globals__, "ORGANIZATION", ORGANIZATION)
    monkeypatch.setitem(suspend.__globals__, "VPN_GROUP", STAFF)
    leavers = example.get_task("list_leavers").python_callable()
    assert suspend(leavers) == 1
    assert (user_of(sandbox, user_id(1)) or {})["state"] == "SUSPENDED"
    assert user_id(1) not in members_of(sandbox, STAFF)
    assert suspend(leavers) == 0


def test_what_a_run_of_the_example_that_failed_has_left_the_next_one_does(
    example: DAG, settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_world(world())
    connection = connection_json(sandbox.url, API_KEY, extra={"permission": "read_and_act"})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_ACTING", connection)
    suspend = example.get_task("suspend").python_callable
    monkeypatch.setitem(suspend.__globals__, "ORGANIZATION", ORGANIZATION)
    monkeypatch.setitem(suspend.__globals__, "VPN_GROUP", STAFF)
    sandbox.set_faults({"match": {"path_regex": "/members$"}, "do": {"status": 403}})
    with pytest.raises(Exception, match=r"- bob: .*403"):
        suspend(["bob"])
    assert (user_of(sandbox, user_id(2)) or {})["state"] == "SUSPENDED"
    sandbox.set_faults()
    assert suspend(["bob"]) == 1
    assert user_id(2) not in members_of(sandbox, STAFF)


def test_the_example_names_who_could_not_be_suspended(
    example: DAG, settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_world(world())
    allow(monkeypatch, sandbox, "read")
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_ACTING", connection_json(sandbox.url, API_KEY))
    suspend = example.get_task("suspend").python_callable
    monkeypatch.setitem(suspend.__globals__, "ORGANIZATION", ORGANIZATION)
    with pytest.raises(Exception, match=r"- bob: Permission: 'read' given .* allowed: read_and_act"):
        suspend(["nobody", "bob"])
