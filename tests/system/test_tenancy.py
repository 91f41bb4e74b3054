"""Many organizations, several connections, regions and kinds of credentials, in one run."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import requests

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND, UNNAMED
from support.connections import connection_json
from support.pipeline import discard_builds, query, run_directory, run_usage, run_warehouse
from support.worlds import DAY, TODAY, organization, serve

IDS = [f"{number:024x}" for number in range(1, 251)]


def test_two_connections_in_two_regions_are_synced_in_one_run(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, set[str]] = {}
    send = requests.adapters.HTTPAdapter.send

    def to_the_sandbox(adapter: object, request: requests.PreparedRequest, **arguments: object) -> requests.Response:
        """What a resolver would do: JumpCloud's hosts are the sandbox."""
        parts = urlsplit(str(request.url))
        asked.setdefault(str(request.headers.get("x-api-key")), set()).add(f"{parts.scheme}://{parts.netloc}")
        request.url = sandbox.url + parts._replace(scheme="", netloc="").geturl()
        return send(adapter, request, **arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", to_the_sandbox)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jc_us,jc_eu,jc_in")
    monkeypatch.setenv("AIRFLOW_CONN_JC_US", connection_json("", "key-us"))
    monkeypatch.setenv("AIRFLOW_CONN_JC_EU", connection_json("", "key-eu", extra={"region": "eu"}))
    monkeypatch.setenv("AIRFLOW_CONN_JC_IN", connection_json("", "key-in", extra={"region": "in"}))
    world = {"organizations": [organization(3, one) for one in IDS[:3]]}
    world["keys"] = [
        {"key": f"key-{region}", "organizations": [one]}
        for region, one in zip(("us", "eu", "in"), IDS[:3], strict=True)
    ]
    sandbox.set_world(world)
    assert run_directory("directory") == []
    assert run_usage("usage", TODAY - DAY, TODAY) == []
    rows = query(run_warehouse("w"), "select organization_id, connection_id from organizations order by 1")
    assert [(row["organization_id"], row["connection_id"]) for row in rows] == list(
        zip(IDS[:3], ("jc_us", "jc_eu", "jc_in"), strict=True)
    )
    assert asked == {
        "key-us": {"https://console.jumpcloud.com", "https://api.jumpcloud.com"},
        "key-eu": {"https://console.eu.jumpcloud.com", "https://api.eu.jumpcloud.com"},
        "key-in": {"https://console.in.jumpcloud.com", "https://api.in.jumpcloud.com"},
    }


def test_an_organization_that_two_connections_reach_is_synced_once_by_the_first(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jc_single,jumpcloud_default")
    monkeypatch.setenv("AIRFLOW_CONN_JC_SINGLE", connection_json(sandbox.url, "sandbox-key-northwind"))
    assert run_directory("directory") == []
    rows = query(run_warehouse("w"), "select organization_id, connection_id from organizations order by 1")
    assert [(row["organization_id"], row["connection_id"]) for row in rows] == [
        (NORTHWIND, "jc_single"),
        (BLUE_YONDER, "jumpcloud_default"),
        (UNNAMED, "jumpcloud_default"),
    ]
    assert len(list(settings.landing.glob("organizations/*/*/*.parquet"))) == 3


def test_a_service_account_syncs_like_a_key_and_names_the_organization_in_every_request(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_directory("with the key") == []
    with_key = query(
        run_warehouse("first"),
        "select * exclude (first_seen_at, last_seen_at) from users where account_type = 'user' order by all",
    )
    discard_builds(settings)
    for manifest in settings.landing.glob("_runs/*/*.parquet"):
        manifest.unlink()
    connection = connection_json(sandbox.url, "sandbox-secret", login="sandbox-client")
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection)
    sandbox.clear_requests()
    assert run_directory("with the service account") == []
    assert run_usage("usage", TODAY - DAY, TODAY) == []
    rows = query(
        run_warehouse("second"),
        "select * exclude (first_seen_at, last_seen_at) from users where account_type = 'user' order by all",
    )
    names = ("organization_id", "user_id", "email", "status", "roles", "groups", "application_count")
    assert [[row[name] for name in names] for row in rows] == [[row[name] for name in names] for row in with_key]
    scoped = [one for one in sandbox.requests() if one["path"].startswith(("/api/systemusers", "/api/v2", "/insights"))]
    assert scoped and all(len(one["organization_headers"]) == 1 for one in scoped)


def test_hundreds_of_organizations_are_discovered_restricted_and_listed_by_name(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, *({"id": one, "displayName": None if n % 2 else f"Org {n}"} for n, one in enumerate(IDS)))
    connection = connection_json(sandbox.url, "sandbox-key", extra={"organization_ids": ",".join(IDS[100:103])})
    assert run_directory("all") == []
    rows = query(run_warehouse("all"), "select organization_id, organization_name from organizations order by 1")
    assert [row["organization_id"] for row in rows] == IDS
    assert [row["organization_name"] for row in rows[:2]] == ["Org 0", IDS[1]]
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection)
    run_directory("restricted by the connection")
    rows = query(
        run_warehouse("restricted"),
        "select sync_status, count(*) as n from organizations group by 1 order by 1",
    )
    assert rows == [{"sync_status": "ok", "n": 3}, {"sync_status": "stale", "n": 247}]


def test_a_failing_connection_does_not_hold_up_the_others(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jc_dead,jumpcloud_default")
    monkeypatch.setenv("AIRFLOW_CONN_JC_DEAD", connection_json(sandbox.url, "no-such-key"))
    (failure,) = run_directory("directory")
    assert failure["organization_name"] == "connection jc_dead"
    assert "check that the key is complete" in failure["reason"]
    warehouse = run_warehouse("w")
    assert len(query(warehouse, "from organizations where sync_status = 'ok'")) == 3
    (row,) = query(warehouse, "from sync_log where outcome = 'failed'")
    assert (row["organization_id"], row["connection_id"]) == (None, "jc_dead")


def test_administrators_are_asked_without_the_organization_where_the_route_refuses_it(
    sandbox: Sandbox, settings: Settings
) -> None:
    mine, others = organization(1, IDS[0]), organization(1, IDS[1])
    mine["administrators"] = [
        {"_id": "2" * 24, "email": "mine@x.io", "organization": IDS[0]},
        {"_id": "3" * 24, "email": "whose@x.io", "organization": None},
    ]
    others["administrators"] = [{"_id": "4" * 24, "email": "other@x.io", "organization": IDS[1]}]
    keys = [{"key": "sandbox-key", "organizations": IDS[:2]}]
    sandbox.set_world({"organizations": [mine, others], "keys": keys, "admins_refuse_org_header": True})
    assert run_directory("directory") == []
    rows = query(
        run_warehouse("w"),
        "select organization_id, email from users where account_type = 'admin' order by all",
    )
    assert [(row["organization_id"], row["email"]) for row in rows] == [
        (IDS[0], "mine@x.io"),
        (IDS[0], "whose@x.io"),
        (IDS[1], "other@x.io"),
    ]
