"""Faults, latency, the request log, and edits of the world while it is being read."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests

from jumpcloud_sandbox.client import Sandbox, SandboxError
from support.sandbox_api import ALPHA, BETA, EVENTS, Api, oid

USERS = "/api/systemusers"


def _fault(api: Api, match: dict[str, Any] | None = None, **do: Any) -> None:
    api.sandbox.set_faults({"match": match or {}, "do": do})


def test_a_status_with_headers_fires_as_often_as_told(api: Api) -> None:
    _fault(api, {"path_regex": "systemusers", "times": 2}, status=429, headers={"Retry-After": "3"})
    answers = [api.get(USERS) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"
    assert api.get("/api/applications").status_code == 200
    assert (api.sandbox.faults()[0]["matched"], api.sandbox.faults()[0]["fired"]) == (3, 2)


@pytest.mark.parametrize("do", [{"status": 504}, {"drop_connection": True}, {"html_body": True}])
def test_a_request_can_take_effect_although_its_answer_says_nothing_of_it(api: Api, do: dict[str, Any]) -> None:
    path = f"{USERS}/{oid('1', 1)}"
    _fault(api, {"method": "PUT", "times": 1}, acted=True, **do)
    change = {"department": "Law"}
    if "drop_connection" in do:
        with pytest.raises(requests.ConnectionError):
            api.call("PUT", path, key="writer", json=change)
    else:
        assert api.call("PUT", path, key="writer", json=change).text != api.get(path).text
    assert api.get(path).json()["department"] == "Law"


def test_only_the_nth_match_of_one_organization(api: Api) -> None:
    _fault(api, {"method": "GET", "organization_id": ALPHA, "nth": 2}, status=503, body={"message": "no"})
    assert api.get(USERS, key="multi", org=BETA).status_code == 200
    assert [api.get(USERS).status_code for _ in range(3)] == [200, 503, 200]


def test_pages_can_be_told_apart_by_query_and_body(api: Api) -> None:
    api.sandbox.set_faults(
        {"match": {"query_regex": "skip=10(&|$)"}, "do": {"status": 500}},
        {"match": {"body_regex": "search_after"}, "do": {"status": 500}},
    )
    assert [api.get(f"{USERS}?skip={n}").status_code for n in (0, 10)] == [200, 500]
    assert api.events().status_code == 200
    assert api.events(search_after=[1, "x"]).status_code == 500


def test_a_dropped_connection_is_a_reset(api: Api) -> None:
    _fault(api, drop_connection=True)
    with pytest.raises(requests.ConnectionError, match="reset"):
        api.get(USERS)


def test_a_truncated_body_ends_early(api: Api) -> None:
    _fault(api, truncate_body=True)
    with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
        api.get(f"{USERS}?limit=100")


def test_html_and_text_that_is_not_json(api: Api) -> None:
    _fault(api, html_body=True, status=502)
    answer = api.get(USERS)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    _fault(api, body="{not json")
    assert api.get(USERS).text == "{not json"


def test_a_redirect_elsewhere(api: Api) -> None:
    _fault(api, redirect_to="http://127.0.0.2:9/elsewhere")
    answer = api.get(USERS)
    assert (answer.status_code, answer.headers["location"]) == (302, "http://127.0.0.2:9/elsewhere")


def test_a_repeated_cursor(api: Api) -> None:
    _fault(api, repeat_cursor=True)
    cursor = json.loads(api.events(limit=5).headers["X-Search_after"])
    assert json.loads(api.events(limit=5, search_after=cursor).headers["X-Search_after"]) == cursor


def test_an_offset_that_is_ignored(api: Api) -> None:
    first = api.get(USERS).json()
    _fault(api, ignore_skip=True)
    assert api.get(f"{USERS}?skip=10").json() == first


def test_totals_that_lie(api: Api) -> None:
    count = api.events("/count").json()["count"]
    _fault(api, wrong_total=3)
    assert api.get(USERS).json()["totalCount"] == 253
    assert api.get("/api/v2/usergroups").headers["x-total-count"] == "5"
    assert api.events("/count").json()["count"] == count + 3


def test_null_and_repeated_rows(api: Api) -> None:
    _fault(api, null_rows=2, repeat_row=True)
    rows = api.get("/api/v2/usergroups").json()
    assert rows[:2] == [None, None]
    assert rows[2] == rows[-1]
    assert api.get(USERS).json()["results"][0] is None


def test_a_server_that_clamps_instead_of_refusing(api: Api) -> None:
    _fault(api, clamp_limit=50)
    assert len(api.get(f"{USERS}?limit=1000").json()["results"]) == 50
    answer = api.events(limit=1000)
    assert (len(answer.json()), answer.headers["X-Limit"]) == (50, "50")


def test_rows_can_vanish_and_appear_between_two_pages(api: Api) -> None:
    change = {"delete_users": [oid("1", 0)], "add_users": [{"_id": oid("f", 1), "username": "late"}]}
    _fault(api, {"path_regex": "systemusers", "nth": 1}, mutate=change)
    first = api.get(f"{USERS}?sort=_id&limit=100").json()
    second = api.get(f"{USERS}?sort=_id&limit=100&skip=100").json()
    assert (first["results"][0]["_id"], first["totalCount"]) == (oid("1", 0), 250)
    assert second["results"][0]["_id"] == oid("1", 101), "the deletion moved a row across the page border"
    assert second["totalCount"] == 250
    assert oid("f", 1) in {user["id"] for user in api.sandbox.organization(ALPHA)["users"]}


def test_latency(api: Api) -> None:
    api.sandbox.set_latency(80)
    began = time.monotonic()
    api.get(USERS)
    assert time.monotonic() - began >= 0.08


def test_the_log_tells_who_asked_what_but_never_the_key(api: Api) -> None:
    api.get(f"{USERS}?limit=5", key="multi", org=ALPHA)
    api.events("/count")
    _fault(api, status=500)
    api.get(USERS, key="wrong")
    one, two, three = api.sandbox.requests()
    assert (one["method"], one["path"], one["query"], one["status"]) == ("GET", USERS, "limit=5", 200)
    assert (one["key"], one["organization_headers"], one["organization_id"]) == ("key-1", [ALPHA], ALPHA)
    assert (two["key"], two["organization_headers"], two["organization_id"]) == ("key-2", [], ALPHA)
    assert two["body"]["service"] == ["all"]
    assert (three["key"], three["status"], three["fault"]) == (None, 500, 0)
    log = api.sandbox.request_log()
    assert (log["counts"][f"GET {USERS}"], log["total"], log["max_in_flight"]) == (2, 3, 1)
    text = json.dumps(log)
    assert not any(f'"{key}"' in text for key in ("multi", "single", "wrong"))
    api.sandbox.clear_requests()
    assert api.sandbox.requests() == []


def test_reset_leads_back_to_the_initial_world(api: Api) -> None:
    before = api.sandbox.world()
    api.sandbox.set_world({"organizations": [], "keys": []})
    _fault(api, status=500)
    assert api.get(USERS).status_code == 500
    api.sandbox.reset()
    assert api.get(USERS).status_code == 200
    assert api.sandbox.world() == before


@pytest.mark.parametrize(
    "world",
    [
        {"organizations": [{"id": ALPHA}, {"id": ALPHA}]},
        {"organizations": [], "keys": [{"key": "k", "organizations": [ALPHA]}]},
        {"organizations": [{"id": ALPHA, "insights": "maybe"}]},
        {"organizations": [{"id": ALPHA, "events": [{"id": "x"}]}]},
    ],
)
def test_a_world_that_is_none_is_refused_and_changes_nothing(api: Api, world: dict[str, Any]) -> None:
    before = api.sandbox.world()
    with pytest.raises(SandboxError, match="400"):
        api.sandbox.set_world(world)
    assert api.sandbox.world() == before


def test_a_rule_with_a_misspelt_key_is_refused(api: Api) -> None:
    with pytest.raises(SandboxError, match="stauts"):
        _fault(api, stauts=500)


def test_the_child_ends_with_its_owner() -> None:
    with Sandbox.start({"organizations": []}) as sandbox:
        url = sandbox.url
        assert requests.get(f"{url}/_sandbox/world", timeout=10).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}{EVENTS}", timeout=10)


def test_a_sandbox_that_cannot_start_says_so() -> None:
    with pytest.raises(SandboxError, match="exit code"):
        Sandbox.start({"organizations": [{"id": ALPHA, "insights": "maybe"}]})
