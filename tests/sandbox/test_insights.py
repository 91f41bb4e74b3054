"""Directory Insights: order, cursors, bounds, counts, refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jumpcloud_sandbox.timestamps import MILLISECOND, parse_ns
from support.sandbox_api import ALPHA, BETA, Api, oid


def _walk(api: Api, limit: int, **body: Any) -> list[dict[str, Any]]:
    """All pages, by the published rule: go on while a page is full."""
    seen: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        answer = api.events(limit=limit, **body, **cursor)
        rows = answer.json()
        seen += rows
        assert answer.headers["X-Result-Count"] == str(len(rows))
        assert answer.headers["X-Limit"] == str(limit)
        cursor = {"search_after": json.loads(answer.headers["X-Search_after"])}
        if len(rows) < limit:
            return seen


def _truth(api: Api) -> list[dict[str, Any]]:
    events = api.sandbox.organization(ALPHA)["events"]
    return [event for event in events if event["service"] != "access_management"]


@pytest.mark.parametrize("limit", [1, 7, 30, 74, 10_000])
@pytest.mark.parametrize("sort", ["ASC", "desc"])
def test_a_walk_returns_every_event_once_across_ties(api: Api, limit: int, sort: str) -> None:
    walked = _walk(api, limit, sort=sort)
    truth = _truth(api)
    key = "id"
    assert sorted(event[key] for event in walked) == sorted(event[key] for event in truth)
    times = [parse_ns(event["timestamp"]) // MILLISECOND for event in walked]
    assert times == sorted(times, reverse=sort == "desc")


def test_order_does_not_depend_on_the_page_size(api: Api) -> None:
    assert _walk(api, 7) == _walk(api, 10_000)
    assert _walk(api, 10_000, sort="DESC") == _walk(api, 10_000)[::-1]


def test_the_cursor_is_sent_even_on_the_last_page(api: Api) -> None:
    answer = api.events(limit=10_000)
    milliseconds, document = json.loads(answer.headers["X-Search_after"])
    assert milliseconds == parse_ns("2027-01-01T00:00:00Z") // MILLISECOND
    assert document != oid("e", 202)
    empty = api.events(search_after=[milliseconds, document])
    assert empty.json() == []
    assert json.loads(empty.headers["X-Search_after"]) == [milliseconds, document]
    assert empty.headers["X-Request-Id"]


def test_an_exact_multiple_is_followed_by_an_empty_page(api: Api) -> None:
    window = {"start_time": "2026-02-11T00:00:00Z", "end_time": "2026-02-11T23:00:00Z"}
    assert len(_walk(api, 5, **window)) == 10
    queries = [row for row in api.sandbox.requests() if row["path"].endswith("/events")]
    assert len(queries) == 3


@pytest.mark.parametrize("sent", [None, "many", -1, 0, True])
def test_a_nonsensical_limit_becomes_the_default(api: Api, sent: Any) -> None:
    assert api.events(limit=sent).headers["X-Limit"] == "1000"


def test_a_limit_above_the_maximum_becomes_the_maximum(api: Api) -> None:
    assert api.events(limit=99_999).headers["X-Limit"] == "10000"


def test_a_nonsensical_sort_is_ascending(api: Api) -> None:
    assert api.events(sort="-timestamp").headers["X-Sort"] == "ASC"


def test_both_bounds_are_inclusive_and_an_event_that_is_there_twice_counts_once(api: Api) -> None:
    login = "2026-02-12T00:00:00Z"
    assert api.events("/count", start_time=login, end_time="2026-02-12T00:00:00.5Z").json() == {"count": 1}
    assert api.events("/count", start_time="2026-02-11T23:00:00Z", end_time=login).json() == {"count": 1}


def test_all_leaves_out_access_management_which_can_be_named(api: Api) -> None:
    assert api.events("/count", service=["access_management"]).json() == {"count": 1}
    assert api.events("/count").json() == {"count": len({event["id"] for event in _truth(api)})}
    assert api.events("/count", service=["directory"]).json() == {"count": 1}


@pytest.mark.parametrize("unit", ["s", "m", "h", "d", "w"])
def test_intervals_add_up_to_the_count(api: Api, unit: str) -> None:
    window = {"start_time": "2026-02-10T10:00:00Z", "end_time": "2026-02-10T18:00:00Z"}
    buckets = api.events("/interval", interval_unit=unit, interval_value="2", **window).json()["buckets"]
    assert sum(bucket["doc_count"] for bucket in buckets) == api.events("/count", **window).json()["count"] == 60


def test_interval_keys_are_bucket_starts_in_the_asked_zone(api: Api) -> None:
    window = {"start_time": "2026-02-12T00:00:00Z", "end_time": "2026-02-13T00:00:00Z"}
    bucket = api.events("/interval", interval_unit="d", timezone="-0500", **window).json()["buckets"][0]
    assert bucket["key_as_string"] == "2026-02-11T05:00:00.000Z"
    assert bucket["key"] == parse_ns(bucket["key_as_string"]) // MILLISECOND


def test_distinct_counts_values(api: Api) -> None:
    buckets = api.events("/distinct", field="event_type").json()["buckets"]
    assert {bucket["key"]: bucket["doc_count"] for bucket in buckets} == {
        "sso_auth": len(_truth(api)) - 2,
        "user_login_attempt": 2,
    }


def test_projection_keeps_the_fields_and_refuses_unknown_ones(api: Api) -> None:
    row = api.events(limit=1, fields=["id", "timestamp", "initiated_by.username"]).json()[0]
    assert set(row) == {"id", "timestamp", "initiated_by"}
    assert api.events(fields=[]).status_code == 400
    assert api.events(fields=["no_such"]).status_code == 400


def test_search_terms_are_for_lower_case_values(api: Api) -> None:
    def count(term: Any) -> int:
        return int(api.events("/count", search_term=term).json()["count"])

    assert count({"and": [{"event_type": "user_login_attempt"}, {"service": "directory"}]}) == 1
    assert count({"and": {"event_type": "user_login_attempt"}}) == 1
    assert count({"and": [{"initiated_by.username": ["user1", "user2"]}]}) == 2
    assert count({"and": [{"initiated_by.username": "User1"}]}) == 0
    assert count({"or": [{"initiated_by.username": "user1"}, {"service": "directory"}]}) == 2
    assert count({"not": [{"service": "sso"}]}) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"service": None}, "service is required"),
        ({"service": []}, "service is required"),
        ({"service": ["nonsense"]}, "saas_app_management, software, sso"),
        ({"start_time": None}, "start_time is missing"),
        ({"start_time": "yesterday"}, "start_time is missing"),
        ({"start_time": "2026-03-01T12:00:01Z"}, "future"),
        ({"search_after": ["x"]}, "search_after"),
    ],
)
def test_bodies_that_are_refused(api: Api, body: dict[str, Any], words: str) -> None:
    answer = api.events(**body)
    assert answer.status_code == 400
    assert words in answer.json()["message"]


@pytest.mark.parametrize("end", ["2026-01-26T09:11:52Z", "2026-01-26T09:13:52Z"])
def test_an_end_that_is_not_after_the_start_is_refused_as_observed(api: Api, end: str) -> None:
    answer = api.events(start_time="2026-01-26T09:13:52Z", end_time=end)
    assert answer.status_code == 400
    assert answer.json() == {"message": f"Start Time not after End Time 2026-01-26T09:13:52Z > {end}"}


def test_the_three_faces_of_unavailable(api: Api) -> None:
    answer = api.events(key="multi", org=BETA)
    assert answer.status_code == 402
    assert answer.json() == {"message": "Directory Insights is not enabled for your organization"}
    organization = api.sandbox.organization(ALPHA)
    api.sandbox.set_organization(organization | {"insights": "forbidden"})
    assert api.events("/count").status_code == 403
    api.sandbox.set_organization(organization | {"insights": "empty"})
    assert api.events().json() == []
    assert api.events("/count").json() == {"count": 0}


def test_late_events_are_found_where_they_belong(api: Api) -> None:
    window = {"start_time": "2026-02-01T00:00:00Z", "end_time": "2026-02-02T00:00:00Z"}
    assert api.events(**window).json() == []
    late = {"id": "late", "service": "sso", "event_type": "sso_auth", "timestamp": "2026-02-01T10:00:00.1Z"}
    api.sandbox.add_events(ALPHA, [late])
    assert api.events(**window).json() == [late]


@pytest.fixture
def synthetic(api: Api) -> Api:
    plan = {"count": 2_345, "start": "2026-02-01T00:00:00Z", "end": "2026-02-02T00:00:00Z", "users": 50}
    api.sandbox.set_organization(api.sandbox.organization(ALPHA) | {"events": [], "synthetic_events": plan})
    return api


@pytest.mark.parametrize("services", [["all"], ["sso"], ["directory"]])
@pytest.mark.parametrize("sort", ["ASC", "DESC"])
def test_synthetic_events_page_and_count_like_stored_ones(synthetic: Api, services: list[str], sort: str) -> None:
    rows = _walk(synthetic, 500, service=services, sort=sort)
    assert len({row["id"] for row in rows}) == len(rows)
    assert synthetic.events("/count", service=services).json() == {"count": len(rows)}
    buckets = synthetic.events("/interval", service=services, interval_unit="h").json()["buckets"]
    assert sum(bucket["doc_count"] for bucket in buckets) == len(rows)
    assert {row["service"] for row in rows} <= {"sso", "directory"}
    assert len({row["initiated_by"]["id"] for row in rows}) == 50


def test_synthetic_events_have_the_asked_size(synthetic: Api) -> None:
    answer = synthetic.events(limit=100)
    assert len(answer.content) / 100 == pytest.approx(1000, rel=0.05)


def test_synthetic_days_add_up(synthetic: Api) -> None:
    halves = [
        {"start_time": "2026-02-01T00:00:00Z", "end_time": "2026-02-01T11:59:59.999Z"},
        {"start_time": "2026-02-01T12:00:00Z", "end_time": "2026-02-02T00:00:00Z"},
    ]
    assert sum(synthetic.events("/count", **half).json()["count"] for half in halves) == 2_345
