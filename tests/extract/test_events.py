"""Events from the wire to Parquet: every event once, nothing rounded, and a unit whole or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import (
    NotEnabledError,
    PageShapeError,
    PermissionDeniedError,
    RepeatedCursorError,
    TransientError,
)
from jumpcloud_elt.extract import events
from jumpcloud_elt.extract.event_pages import decode_page, parse_timestamps
from jumpcloud_elt.extract.events import land_unit
from jumpcloud_elt.landing import units
from jumpcloud_elt.landing.files import read_metadata
from jumpcloud_elt.landing.layout import unit_path
from jumpcloud_elt.landing.manifests import Outcome
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json
from support.writers import writing

Json = dict[str, Any]
ORG = "5f0a1c2e9d3b4a0011223301"
DAY, NEXT = datetime(2026, 3, 1), datetime(2026, 3, 2)
LINEAGE = ("jc", datetime(2026, 3, 5, 1, 2, 3, 4), DAY, NEXT)
ORGANIZATION = Organization(
    connection_id="jumpcloud_default", organization_id=ORG, organization_name="One", payload="{}", error=None
)
COUNT, PAGE = {"path_regex": "/events/count$"}, {"path_regex": "/events$"}


def event(identifier: Any, at: Any = "2026-03-01T12:00:00Z", **fields: Any) -> Json:
    return {"id": identifier, "timestamp": at, "service": "sso", "event_type": "sso_auth", **fields}


def decoded(*rows: Any) -> list[Json]:
    body = json.dumps(rows).encode()
    rows_out: list[Json] = decode_page(body, LINEAGE).to_pylist()
    return rows_out


# ---- one page -------------------------------------------------------------------------------------------------


def test_an_event_becomes_its_key_columns_and_the_very_text_received() -> None:
    text = (
        '{"id": "e1", "event_type": "sso_auth","service": "sso","timestamp": "2026-03-01T23:59:59.999999999Z",'
        '"success": true, "sso_token_success": false, "unknown": {"deep": [1.50, {}]},'
        '"initiated_by": {"id": "u1", "type": "user", "username": "zoë", "email": "Z@x.example", "more": 1},'
        '"resource": {"id": "r1", "type": "user", "username": "健太", "email": null},'
        '"application": {"id": "a1", "name": "slack", "display_label": "Sl\\u00e4ck 🚀", "sso_type": "saml"}}'
    )
    batch = decode_page(f"[ {text} ]".encode(), LINEAGE)
    batch.validate(full=True)
    assert batch.schema == units.UNIT_SCHEMA
    assert batch.to_pylist() == [
        {
            "event_id": "e1",
            "event_type": "sso_auth",
            "service": "sso",
            "event_at": datetime(2026, 3, 1, 23, 59, 59, 999999),
            "success": True,
            "sso_token_success": False,
            "initiated_by_id": "u1",
            "initiated_by_type": "user",
            "initiated_by_username": "zoë",
            "initiated_by_email": "Z@x.example",
            "resource_id": "r1",
            "resource_type": "user",
            "resource_username": "健太",
            "resource_email": None,
            "application_id": "a1",
            "application_name": "slack",
            "application_display_label": "Släck 🚀",
            "application_sso_type": "saml",
            "payload": text,
            "_connection_id": "jc",
            "_extracted_at": datetime(2026, 3, 5, 1, 2, 3, 4),
            "_interval_start": DAY,
            "_interval_end": NEXT,
        }
    ]


KEY_COLUMNS = [name for name in units.UNIT_SCHEMA.names if name not in ("event_id", "payload") and name[0] != "_"]


@pytest.mark.parametrize("nothing", [{}, None])
def test_empty_objects_and_nulls_are_nulls(nothing: Any) -> None:
    names = ["initiated_by", "resource", "application", "auth_context", "correlation"]
    nulls = dict.fromkeys(["event_type", "service", "timestamp", "success", "sso_token_success"])
    [row] = decoded({"id": "e1", **nulls, **dict.fromkeys(names, nothing)})
    assert {row[name] for name in KEY_COLUMNS} == {None}
    assert decoded({"id": "e1"}) == [row | {"payload": '{"id": "e1"}'}]


@pytest.mark.parametrize("odd", ["x", 1, 1.5, True, [], [1], {"id": {"deep": 1}}, {"id": [1]}, 10**40])
def test_a_field_of_an_unexpected_type_costs_the_field_and_not_the_page(odd: Any) -> None:
    names = ["initiated_by", "resource", "application"]
    good = event("e2", success=True, initiated_by={"id": "u2"})
    first, second = decoded(event("e1", **dict.fromkeys(names, odd), success="yes", sso_token_success=1), good)
    assert {first[name] for name in KEY_COLUMNS if name.startswith(tuple(names))} == {None}
    assert (first["success"], first["sso_token_success"]) == (None, None)
    assert json.loads(first["payload"])["initiated_by"] == odd
    assert first["event_at"] == datetime(2026, 3, 1, 12)
    assert (second["success"], second["initiated_by_id"]) == (True, "u2")


def test_numbers_where_text_is_expected_are_kept_as_text() -> None:
    [row] = decoded(event("e1", initiated_by={"id": 7, "username": 1.5, "email": True, "type": None}))
    actor = [row[f"initiated_by_{name}"] for name in ("id", "username", "email", "type")]
    assert actor == ["7", "1.5", None, None]


@pytest.mark.parametrize("number", ["1e999", "-1e999", "123456789012345678901234567890", "1E-400", "0.10"])
@pytest.mark.parametrize("is_odd", [False, True])
def test_a_huge_number_costs_nothing(number: str, is_odd: bool) -> None:
    """Wherever it stands: in a field of no column, beside a secret, or in an event that is odd elsewhere."""
    success = '"x"' if is_odd else "true"
    body = f'[{{"id":"e1","success":{success},"n":{number}}},{{"id":"e2","token":"s","n":{number}}}]'
    first, second = decode_page(body.encode(), LINEAGE).to_pylist()
    assert first["payload"] == f'{{"id":"e1","success":{success},"n":{number}}}'
    assert json.loads(second["payload"]) == {"id": "e2", "n": json.loads(number)}


@pytest.mark.parametrize("body", [b'[ null , {"id":"e1"},null]', b'[{"id":"e1"},\nnull\n]', b'[null,{"id":"e1"}]'])
def test_null_rows_are_left_out(body: bytes) -> None:
    [row] = decode_page(body, LINEAGE).to_pylist()
    assert (row["event_id"], row["payload"]) == ("e1", '{"id":"e1"}')


@pytest.mark.parametrize("body", [b"[]", b"[null]", b" [ null, null ] "])
def test_a_page_without_events_is_an_empty_batch(body: bytes) -> None:
    batch = decode_page(body, LINEAGE)
    assert (batch.num_rows, batch.schema) == (0, units.UNIT_SCHEMA)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"null",
        b'"x"',
        b"[1]",
        b'["x"]',
        b"[[]]",
        b"[{}]",
        b'[{"id":null}]',
        b'[{"id":5}]',
        b'[{"id":""}]',
        b'[{"id":"e1"},{"id":""}]',
        b'[null,{"id":""}]',
        b'[{"id":"e1"}',
        b'[{"id":"\\ud83d"}]',
        b"",
    ],
)
def test_a_page_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(PageShapeError, match="Events: expected"):
        decode_page(body, LINEAGE)


def test_secrets_of_events_are_removed_before_they_are_a_row() -> None:
    first, second = decoded(
        event("e1", changes=[{"field": "ssh_keys", "from": "old", "to": "new"}], auth={"apiKey": "k"}),
        event("e2", auth_context={"auth_methods": {"password": {"success": True}}}),
    )
    assert json.loads(first["payload"]) == event("e1", changes=[{"field": "ssh_keys"}], auth={})
    assert json.loads(second["payload"]) == event("e2", auth_context={"auth_methods": {"password": {"success": True}}})


# ---- times ----------------------------------------------------------------------------------------------------


@given(
    moment=st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(lambda one: one.replace(microsecond=0)),
    digits=st.text("0123456789", max_size=9),
    offset=st.sampled_from(["Z", "+00:00", "+02:00", "-0500", "+05:30", "-12"]),
    beside=st.sampled_from([[], ["2026-03-01T12:00:00z"], [None], ["soon"]]),
)
def test_times_of_any_precision_are_cut_to_microseconds_in_utc(
    moment: datetime, digits: str, offset: str, beside: list[str | None]
) -> None:
    """On the quick way, and on the slow one that an unreadable neighbour forces."""
    text = f"{moment:%Y-%m-%dT%H:%M:%S}{'.' if digits else ''}{digits}{offset}"
    hours = {"Z": 0, "+00:00": 0, "+02:00": 2, "-0500": -5, "+05:30": 5.5, "-12": -12}[offset]
    expected = moment.replace(microsecond=int(digits.ljust(6, "0")[:6])) - timedelta(hours=hours)
    assert parse_timestamps([text, *beside]).to_pylist()[0] == expected


@pytest.mark.parametrize("digits", ["9", "999", "999999", "9999995", "99999999", "999999999", "9999999999"])
def test_the_last_instant_of_a_day_never_slips_into_the_next(digits: str) -> None:
    [at] = parse_timestamps([f"2026-03-01T23:59:59.{digits}Z"]).to_pylist()
    assert at == datetime(2026, 3, 1, 23, 59, 59, int(digits[:6].ljust(6, "0")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "soon",
        "2026-13-01T00:00:00Z",
        "2026-03-01T23:59:60Z",
        "T12:00:00Z",
        "1772366400",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:00:00-05:00",
        "\uff12\uff10\uff12\uff16-03-01T00:00:00Z",
    ],
)
def test_a_text_that_is_no_time_becomes_null_and_its_neighbours_stay(text: str) -> None:
    at = parse_timestamps(["2026-03-01T12:00:00Z", text, None, "2026-03-01T12:00:00.123456789Z"]).to_pylist()
    assert at == [datetime(2026, 3, 1, 12), None, None, datetime(2026, 3, 1, 12, 0, 0, 123456)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1)),
        ("2026-03-01T12:00:00", datetime(2026, 3, 1, 12)),
        ("2026-03-01t12:00:00z", datetime(2026, 3, 1, 12)),
        ("2026-03-01 12:00:00Z", datetime(2026, 3, 1, 12)),
    ],
)
def test_odd_but_readable_times_are_read(text: str, expected: datetime) -> None:
    assert parse_timestamps([text]).to_pylist() == [expected]


def test_an_event_without_a_readable_time_is_kept() -> None:
    assert [row["event_at"] for row in decoded(event("e1", 5), event("e2", None), event("e3", {}))] == [None] * 3


# ---- one unit, against the sandbox ----------------------------------------------------------------------------


def world(events_of_one: list[Json] | None = None, **organization: Any) -> Json:
    return {
        "organizations": [{"id": ORG, "displayName": "One", "events": events_of_one or [], **organization}],
        "keys": [{"key": "key-of-one", "organizations": [ORG]}],
    }


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.start(world(), now="2026-04-01T00:00:00Z") as started:
        yield started


@pytest.fixture
def sandbox(running: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A small sandbox of this module's own, without events."""
    running.reset()
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(running.url, "key-of-one"))
    return running


@pytest.fixture
def settings(settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, "key-of-one"))
    return settings


def land(settings: Settings, interval: Interval = (DAY, NEXT)) -> Outcome:
    with open_client("jumpcloud_default", settings) as client:
        return land_unit(client, ORGANIZATION, interval, settings)


def landed(settings: Settings, interval: Interval = (DAY, NEXT)) -> list[Json]:
    path = unit_path(settings.landing, ORG, *interval)
    rows: list[Json] = pq.ParquetFile(path).read().to_pylist()
    return rows


def ids(rows: list[Json]) -> list[str]:
    return [row["event_id"] for row in rows]


def files(settings: Settings) -> list[Path]:
    return [path for path in settings.landing.rglob("*") if path.is_file()]


def test_a_unit_is_one_file_that_says_what_it_holds(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1"), event("e2", "2026-03-01T00:00:00Z"), event("e0", "2026-02-28T23:59:59.9Z")])
    outcome = land(settings)
    path = settings.landing / f"directory_insights_events/organization_id={ORG}/date=2026-03-01"
    path /= "20260301T000000Z_20260302T000000Z.parquet"
    assert files(settings) == [path]
    assert ids(landed(settings)) == ["e2", "e1"]
    assert pq.read_schema(path).remove_metadata() == units.UNIT_SCHEMA
    counts = {"received": 2, "inside": 2, "strays": 0, "rows": 2, "api_total": 2}
    [row] = [row for row in landed(settings) if row["event_id"] == "e1"]
    assert read_metadata(path) == counts | {
        "extracted_at": row["_extracted_at"].isoformat(),
        "connection_id": "jumpcloud_default",
        "services": ["directory", "sso"],
        "outcome": "ok",
        "began_before_retention": datetime.now(UTC).replace(tzinfo=None) - timedelta(days=90) > DAY,
    }
    assert outcome == Outcome(
        connection_id="jumpcloud_default",
        organization_id=ORG,
        organization_name="One",
        stream="directory_insights_events",
        outcome="ok",
        interval_start=DAY,
        interval_end=NEXT,
        path=str(path.relative_to(settings.landing)),
        requests=2,
        seconds=outcome.seconds,
        extracted_at=row["_extracted_at"],
        **counts,
    )


def test_intervals_are_half_open(sandbox: Sandbox, settings: Settings) -> None:
    """The API takes both ends: what lies exactly at the end is counted, and cut; the next unit has it."""
    times = {"start": "2026-03-01T00:00:00Z", "last": "2026-03-01T23:59:59.999999999Z"}
    times |= {"end": "2026-03-02T00:00:00Z", "end, in ns": "2026-03-02T00:00:00.0000009Z"}
    sandbox.add_events(ORG, [event(name, at) for name, at in times.items()])
    outcome = land(settings)
    assert (outcome.received, outcome.api_total, outcome.inside, outcome.strays, outcome.rows) == (4, 4, 2, 0, 2)
    assert ids(landed(settings)) == ["start", "last"]
    later = (NEXT, NEXT + timedelta(days=1))
    assert land(settings, later).rows == 2
    assert sorted(ids(landed(settings, later))) == ["end", "end, in ns"]


def test_strays_are_kept_and_counted(sandbox: Sandbox, settings: Settings) -> None:
    """Dated outside the interval that they were asked for, or not at all."""
    outside = {"before": "2026-02-27T00:00:00Z", "after": "2026-03-09T00:00:00Z", "none": None, "odd": "soon"}
    rows = [event("inside"), *(event(name, at) for name, at in outside.items())]
    rows += [event("end", "2026-03-02T00:00:00Z")]
    sandbox.set_faults({"match": COUNT, "do": {"body": {"count": 6}}}, {"match": PAGE, "do": {"body": rows}})
    outcome = land(settings)
    assert (outcome.received, outcome.inside, outcome.strays, outcome.rows) == (6, 1, 4, 5)
    assert {row["event_id"]: row["event_at"] for row in landed(settings)} == {
        "inside": datetime(2026, 3, 1, 12),
        "before": datetime(2026, 2, 27),
        "after": datetime(2026, 3, 9),
        "none": None,
        "odd": None,
    }


def test_duplicates_are_landed_as_they_came_and_counted_once(sandbox: Sandbox, settings: Settings) -> None:
    rows = [event("e1", success=False), event("e1", success=True), event("e2"), None]
    sandbox.set_faults({"match": COUNT, "do": {"body": {"count": 2}}}, {"match": PAGE, "do": {"body": rows}})
    outcome = land(settings)
    assert (outcome.received, outcome.inside, outcome.rows) == (2, 2, 3)
    assert ids(landed(settings)) == ["e1", "e1", "e2"]


def test_a_unit_without_events_is_landed_empty(sandbox: Sandbox, settings: Settings) -> None:
    outcome = land(settings)
    assert (outcome.outcome, outcome.received, outcome.inside, outcome.rows) == ("ok", 0, 0, 0)
    assert landed(settings) == []
    assert read_metadata(unit_path(settings.landing, ORG, DAY, NEXT))["received"] == 0


def test_only_the_services_that_are_set_are_asked_for(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1"), event("e2", service="radius"), event("e3", service="directory")])
    land(settings)
    assert ids(landed(settings)) == ["e1", "e3"]
    assert [entry["body"]["service"] for entry in sandbox.requests()] == [["directory", "sso"]] * 2


@pytest.mark.parametrize("fault", [{}, {"clamp_limit": 7}, {"null_rows": 2, "clamp_limit": 10}])
def test_events_of_one_instant_are_all_read_across_pages(fault: Json, sandbox: Sandbox, settings: Settings) -> None:
    expected = [f"e{number:02d}" for number in range(50)]
    sandbox.add_events(ORG, [event(identifier, "2026-03-01T12:00:00.123Z") for identifier in expected])
    sandbox.set_faults({"match": PAGE, "do": fault})
    outcome = land(settings)
    assert sorted(ids(landed(settings))) == expected
    assert (outcome.received, outcome.rows) == (50, 50)


@pytest.mark.parametrize(("count", "pages"), [(10_000, 2), (15_001, 2), (20_000, 3)])
def test_a_walk_over_several_full_pages_lands_every_event_once(
    count: int, pages: int, sandbox: Sandbox, settings: Settings
) -> None:
    plan = {"count": count, "start": "2026-03-01T00:00:00Z", "end": "2026-03-01T00:00:05Z", "users": 3}
    sandbox.set_world(world(synthetic_events=plan, applications=[{"id": "a" * 24}]))
    outcome = land(settings)
    rows = ids(landed(settings))
    assert len(set(rows)) == len(rows) == count
    assert (outcome.received, outcome.api_total, outcome.inside, outcome.rows) == (count,) * 4
    assert outcome.requests == pages + 1


def test_events_that_arrive_during_the_walk_are_counted_again_and_agree(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1"), event("e2")])
    sandbox.set_faults({"match": {**COUNT, "nth": 1}, "do": {"wrong_total": -1}})
    outcome = land(settings)
    assert (outcome.received, outcome.api_total, outcome.requests) == (2, 2, 3)
    assert read_metadata(unit_path(settings.landing, ORG, DAY, NEXT))["api_total"] == 2


def test_a_count_that_disagrees_is_read_again(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1"), event("e2")])
    sandbox.set_faults({"match": {**PAGE, "nth": [1, 2]}, "do": {"body": []}})
    outcome = land(settings)
    assert ids(landed(settings)) == ["e1", "e2"]
    assert (outcome.outcome, outcome.received, outcome.api_total) == ("ok", 2, 2)


def test_a_count_that_keeps_disagreeing_lands_as_incomplete_with_both_numbers(
    sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.add_events(ORG, [event("e1"), event("e2")])
    sandbox.set_faults({"match": COUNT, "do": {"wrong_total": 3}})
    outcome = land(settings)
    assert (outcome.outcome, outcome.received, outcome.api_total, outcome.rows) == ("incomplete", 2, 5, 2)
    assert str(outcome.reason).startswith("2 distinct ids received, 5 counted by JumpCloud, in 3 readings")
    assert sorted(ids(landed(settings))) == ["e1", "e2"]
    assert read_metadata(files(settings)[0])["outcome"] == "incomplete"
    sandbox.set_faults()
    assert land(settings).outcome == "ok"
    assert read_metadata(files(settings)[0])["outcome"] == "ok"


@pytest.mark.parametrize(("tolerance", "outcome"), [(0.5, "ok"), (0.4, "ok"), (0.39, "incomplete"), (0, "incomplete")])
def test_a_difference_within_the_tolerance_counts_as_whole(
    tolerance: float, outcome: str, sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.add_events(ORG, [event(f"e{number}") for number in range(3)])
    sandbox.set_faults({"match": COUNT, "do": {"wrong_total": 2}})
    assert land(replace(settings, usage_count_tolerance=tolerance)).outcome == outcome


def test_what_any_of_the_readings_received_lands(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1"), event("e2"), event("e3")])
    readings = [["e1", "e2"], ["e2", "e3"], ["e1"]]
    sandbox.set_faults(
        *(
            {
                "match": {**PAGE, "times": 1},
                "do": {"body": [event(one) for one in names], "headers": {"X-Result-Count": "3"}},
            }
            for names in readings
        )
    )
    outcome = land(settings)
    assert sorted(ids(landed(settings))) == ["e1", "e2", "e3"]
    assert (outcome.outcome, outcome.received, outcome.api_total, outcome.rows) == ("incomplete", 1, 3, 3)


def test_a_cursor_that_never_ends_is_left_one_page_past_the_count(sandbox: Sandbox, settings: Settings) -> None:
    page = [event(f"e{number}") for number in range(10_000)]
    cursors = [
        {"match": {**PAGE, "times": 1}, "do": {"body": page, "headers": {"X-Search_after": f'[{number}, "e0"]'}}}
        for number in range(1, 20)
    ]
    sandbox.set_faults({"match": COUNT, "do": {"body": {"count": 10_000}}}, *cursors)
    outcome = land(settings)
    assert (outcome.outcome, outcome.received, outcome.requests) == ("ok", 10_000, 3)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long anything waits for an event that does not come; nobody does."""
    waited: list[float] = []
    wait = threading.Event.wait

    def note(self: threading.Event, timeout: float | None = None) -> bool:
        if timeout is None:
            return wait(self)
        waited.append(timeout)
        return self.is_set()

    monkeypatch.setattr(threading.Event, "wait", note)
    return waited


@pytest.mark.parametrize(("longest", "expected"), [(120.0, [5.0, 25.0]), (7.0, [5.0, 7.0])])
def test_readings_that_disagree_are_given_time_to_settle(
    longest: float, expected: list[float], sandbox: Sandbox, settings: Settings, waits: list[float]
) -> None:
    sandbox.add_events(ORG, [event("e1"), event("e2")])
    sandbox.set_faults({"match": {**PAGE, "nth": [1, 2]}, "do": {"body": []}})
    outcome = land(replace(settings, retry_wait_seconds=1.0, retry_wait_max_seconds=longest))
    assert (outcome.outcome, outcome.received) == ("ok", 2)
    assert waits == expected
    sandbox.set_faults({"match": COUNT, "do": {"wrong_total": 3}})
    land(replace(settings, retry_wait_seconds=1.0, retry_wait_max_seconds=longest))
    assert waits == 2 * expected


def test_a_failed_reading_leaves_the_unit_that_has_landed(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1")])
    land(settings)
    [path] = files(settings)
    before = path.read_bytes()
    sandbox.add_events(ORG, [event("e2")])
    sandbox.set_faults({"match": PAGE, "do": {"status": 500}})
    with pytest.raises(TransientError):
        land(settings)
    assert files(settings) == [path]
    assert path.read_bytes() == before


def test_a_unit_once_read_whole_stays_whole_and_a_later_reading_only_adds(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1")])
    land(settings)
    sandbox.add_events(ORG, [event("e2")])
    sandbox.set_faults({"match": COUNT, "do": {"wrong_total": 3}})
    outcome = land(settings)
    assert (outcome.outcome, outcome.received, outcome.api_total, outcome.rows) == ("ok", 2, 5, 2)
    assert str(outcome.reason).startswith("2 distinct ids received, 5 counted by JumpCloud, in 3 readings")
    assert sorted(ids(landed(settings))) == ["e1", "e2"]


def test_what_a_killed_extraction_has_left_goes_with_the_next_one_of_that_day_and_what_is_being_written_stays(
    sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.add_events(ORG, [event("e1")])
    path = unit_path(settings.landing, ORG, DAY, NEXT)
    other = unit_path(settings.landing, ORG, DAY, DAY + timedelta(hours=1))
    with writing(other, "half a unit") as alive, writing(path, "killed") as killed:
        killed.kill()
        assert land(settings).outcome == "ok"
        assert not killed.temporary.exists()
        assert alive.temporary.read_text() == "half a unit"
    assert list(path.parent.iterdir()) == [path]


def test_more_events_than_landed_replace_the_unit(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1")])
    land(settings)
    sandbox.add_events(ORG, [event("late", "2026-03-01T00:00:01Z")])
    outcome = land(settings)
    assert (outcome.outcome, outcome.rows) == ("ok", 2)
    assert ids(landed(settings)) == ["late", "e1"]
    assert len(files(settings)) == 1


@pytest.mark.parametrize("left", [["e1", "e2"], []])
def test_what_jumpcloud_no_longer_has_stays(left: list[str], sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1"), event("e2"), event("e3")])
    land(settings)
    before = {row["event_id"]: row for row in landed(settings)}
    sandbox.set_world(world([event(identifier) for identifier in left]))
    outcome = land(settings)
    assert (outcome.outcome, outcome.received, outcome.rows, outcome.inside) == ("ok", len(left), 3, 3)
    assert (outcome.kept, outcome.added, outcome.changed) == (3 - len(left), 0, 0)
    assert outcome.reason == f"read again: {3 - len(left)} kept, 0 added, 0 changed"
    after = {row["event_id"]: row for row in landed(settings)}
    assert after.keys() == before.keys()
    assert after["e3"] == before["e3"]
    assert all(after[one]["_extracted_at"] > before[one]["_extracted_at"] for one in left)


def test_a_unit_that_is_read_again_is_what_had_landed_and_what_was_received(
    sandbox: Sandbox, settings: Settings
) -> None:
    """Of an event that was read twice the later payload stands; what lies elsewhere stays a stray."""
    stray = event("stray", "2026-02-01T00:00:00Z")
    first = [event("gone"), event("same"), event("changed", success=False), stray]
    sandbox.set_faults({"match": COUNT, "do": {"body": {"count": 4}}}, {"match": PAGE, "do": {"body": first}})
    land(settings)
    second = [event("same"), event("changed", success=True), event("new", "2026-03-01T01:00:00Z")]
    sandbox.set_faults({"match": COUNT, "do": {"body": {"count": 3}}}, {"match": PAGE, "do": {"body": second}})
    outcome = land(settings)
    rows = {row["event_id"]: row for row in landed(settings)}
    assert sorted(rows) == ["changed", "gone", "new", "same", "stray"]
    assert len(landed(settings)) == 5
    assert rows["changed"]["success"] is True
    assert json.loads(rows["changed"]["payload"])["success"] is True
    assert rows["gone"]["_extracted_at"] < rows["same"]["_extracted_at"] == rows["new"]["_extracted_at"]
    assert outcome.reason == "read again: 2 kept, 1 added, 1 changed"
    told = {name: getattr(outcome, name) for name in ("rows", "received", "api_total", "inside", "strays")}
    assert told == {"rows": 5, "received": 3, "api_total": 3, "inside": 4, "strays": 1}
    metadata = read_metadata(unit_path(settings.landing, ORG, DAY, NEXT))
    assert {name: metadata[name] for name in told} == told
    assert outcome.extracted_at == rows["new"]["_extracted_at"]


def test_of_two_runs_beside_each_other_the_one_that_read_later_stands_whichever_lands_last(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.add_events(ORG, [event("both", success=False), event("gone")])
    add = events._add
    begun: list[str] = []

    def while_another_lands(*arguments: Any) -> Any:
        if not begun:
            begun.append("this run")
            sandbox.set_world(world([event("both", success=True), event("new")]))
            assert land(settings).outcome == "ok"
        return add(*arguments)

    monkeypatch.setattr(events, "_add", while_another_lands)
    outcome = land(settings)
    rows = {row["event_id"]: row for row in landed(settings)}
    assert sorted(rows) == ["both", "gone", "new"]
    assert rows["both"]["success"] is True
    assert outcome.reason == "read again: 1 kept, 1 added, 0 changed"
    assert outcome.extracted_at == rows["new"]["_extracted_at"] > rows["gone"]["_extracted_at"]


@pytest.mark.parametrize("content", [b"", b"PAR1 half of a file", "half", "middle"])
def test_a_damaged_unit_is_set_aside_and_read_again(
    content: bytes | str, sandbox: Sandbox, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.add_events(ORG, [event(f"e{number}") for number in range(50)])
    land(settings)
    [path] = files(settings)
    whole = path.read_bytes()
    damaged = content if isinstance(content, bytes) else whole[: len(whole) // 2]
    if content == "middle":
        damaged = whole[:20] + bytes(len(whole) // 2) + whole[20 + len(whole) // 2 :]
    path.write_bytes(damaged)
    assert land(settings).outcome == "ok"
    assert len(landed(settings)) == 50
    aside = path.with_name(f"{path.name}.damaged")
    assert sorted(files(settings)) == [path, aside]
    assert aside.read_bytes() == damaged
    assert f"is damaged; set aside as {aside.name}" in caplog.text


@pytest.mark.parametrize(
    "error",
    [pa.ArrowMemoryError("malloc of size 64 failed"), pa.ArrowCapacityError("too long"), pa.ArrowInvalid("odd")],
)
def test_what_fails_while_a_whole_unit_is_read_again_sets_nothing_aside(
    error: Exception, sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.add_events(ORG, [event("e1")])
    land(settings)
    [path] = files(settings)
    content = path.read_bytes()
    monkeypatch.setattr("jumpcloud_elt.landing.union._write", Mock(side_effect=error))
    with pytest.raises(type(error), match=str(error)):
        land(settings)
    assert path.read_bytes() == content
    assert files(settings) == [path]


def test_a_range_that_the_plan_does_not_reach_lands_empty_and_proves_nothing(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "utc_now", lambda: datetime(2026, 4, 1))
    match = {"path_regex": "/events", "body_regex": '"start_time": ?"2026-03-01'}
    sandbox.set_faults({"match": match, "do": {"status": 402, "body": {"message": "plan"}}})
    outcome = land(settings)
    assert (outcome.outcome, outcome.rows) == ("unverified", 0)
    assert outcome.reason == (
        "JumpCloud answers 402 plan for this range only; usage_retention_days of the connection (90) is too long"
    )
    metadata = read_metadata(unit_path(settings.landing, ORG, DAY, NEXT))
    assert (metadata["inside"], metadata["began_before_retention"]) == (0, True)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 500}, TransientError),
        ({"drop_connection": True}, TransientError),
        ({"truncate_body": True}, TransientError),
        ({"repeat_cursor": True}, RepeatedCursorError),
        ({"body": {"message": "odd"}}, PageShapeError),
        ({"body": [{"event_type": "sso_auth"}]}, PageShapeError),
    ],
)
def test_a_walk_that_breaks_leaves_nothing(
    fault: Json, error: type[Exception], sandbox: Sandbox, settings: Settings
) -> None:
    """After a page that has been written already."""
    sandbox.add_events(ORG, [event(f"e{number}") for number in range(30)])
    first = {"match": {**PAGE, "nth": 1}, "do": {"clamp_limit": 10}}
    sandbox.set_faults(first, {"match": PAGE, "do": {"clamp_limit": 10, **fault}})
    with pytest.raises(error):
        land(settings)
    assert files(settings) == []


def test_a_unit_becomes_visible_only_when_it_is_whole(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that is killed leaves what is there at that moment: nothing that a reader would take for a unit."""
    sandbox.add_events(ORG, [event("e1")])
    seen: list[list[str]] = []

    def killed(path: Path, temporary: Path) -> None:
        assert pq.read_metadata(temporary).num_rows == 1
        seen.append([one.name for one in files(settings)])
        raise KeyboardInterrupt

    monkeypatch.setattr("jumpcloud_elt.core.folder.FolderPath.put", killed)
    with pytest.raises(KeyboardInterrupt):
        land(settings)
    [names] = seen
    assert {name.split(".parquet.")[0] for name in names} == {".20260301T000000Z_20260302T000000Z"}
    assert [name.rpartition(".")[2] for name in sorted(names, key=len)] == ["lock", "tmp", "lock"]


def test_what_a_killed_writer_left_disturbs_nobody(sandbox: Sandbox, settings: Settings) -> None:
    path = unit_path(settings.landing, ORG, DAY, NEXT)
    left_open = path.temporary()
    left_open.__enter__().write_bytes(b"half of a file")
    sandbox.add_events(ORG, [event("e1")])
    assert land(settings).rows == 1
    assert list(settings.landing.rglob("*.parquet")) == [path]
    left_open.__exit__(None, None, None)


@pytest.mark.parametrize(("state", "error"), [("not_enabled", NotEnabledError), ("forbidden", PermissionDeniedError)])
def test_an_organization_without_directory_insights_raises_at_once_and_lands_nothing(
    state: str, error: type[Exception], sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.set_world(world(insights=state))
    with pytest.raises(error):
        land(settings)
    # Where it is 402, whether that is so for the present, too.
    assert len(sandbox.requests()) == (2 if state == "not_enabled" else 1)
    assert files(settings) == []


def test_the_bounds_asked_for_are_those_of_the_interval(sandbox: Sandbox, settings: Settings) -> None:
    land(settings, (DAY + timedelta(hours=1, microseconds=5), DAY + timedelta(hours=2)))
    bounds = {(entry["body"]["start_time"], entry["body"]["end_time"]) for entry in sandbox.requests()}
    assert bounds == {("2026-03-01T01:00:00.000005Z", "2026-03-01T02:00:00Z")}
    assert files(settings)[0].name == "20260301T010000.000005Z_20260301T020000Z.parquet"


def test_the_time_of_extraction_is_now_and_the_connection_is_named(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, [event("e1")])
    before = datetime.now(UTC).replace(tzinfo=None)
    land(settings)
    [row] = landed(settings)
    assert before <= row["_extracted_at"] <= datetime.now(UTC).replace(tzinfo=None)
    assert row["_connection_id"] == "jumpcloud_default"
    assert (row["_interval_start"], row["_interval_end"]) == (DAY, NEXT)
