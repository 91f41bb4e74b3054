"""An interval read in slices beside each other: every event once, as one unit, whatever the counts and edges are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.api.buffers import BufferPool
from jumpcloud_elt.api.event_queries import interval_of
from jumpcloud_elt.api.rate_limit import RateLimiter
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import PageShapeError, TransientError
from jumpcloud_elt.extract import event_reader, events, parallel, slices, tally
from jumpcloud_elt.extract.events import land_unit, land_units
from jumpcloud_elt.extract.slices import Slice, plan_slices, read_buckets
from jumpcloud_elt.extract.tally import count_distinct, keys_of
from jumpcloud_elt.landing.layout import unit_path
from jumpcloud_elt.landing.manifests import Outcome
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json

Json = dict[str, Any]
ORG = "5f0a1c2e9d3b4a0011223301"
DAY, NEXT = datetime(2026, 3, 1), datetime(2026, 3, 2)
SECOND = timedelta(seconds=1)
ORGANIZATION = Organization(
    connection_id="jumpcloud_default", organization_id=ORG, organization_name="One", payload="{}", error=None
)
COUNT, PAGE, HISTOGRAM = ({"path_regex": f"/events{end}$"} for end in ("/count", "", "/interval"))


def event(identifier: str, at: str) -> Json:
    return {"id": identifier, "timestamp": at, "service": "sso", "event_type": "sso_auth"}


def world(events: list[Json] | None = None, **organization: Any) -> Json:
    return {
        "organizations": [{"id": ORG, "displayName": "One", "events": events or [], **organization}],
        "keys": [{"key": "key-of-one", "organizations": [ORG]}],
    }


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.start(world(), now="2026-04-01T00:00:00Z") as started:
        yield started


@pytest.fixture
def sandbox(running: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Pages of ten events, and slices to match: what happens to a million happens to hundreds."""
    running.reset()
    monkeypatch.setattr(slices, "ONE_WALK", 20)
    monkeypatch.setattr(slices, "SLICE_EVENTS", 10)
    monkeypatch.setattr("jumpcloud_elt.api.pagination.INSIGHTS_PAGE_SIZE", 10)
    return running


@pytest.fixture
def settings(settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, "key-of-one"))
    return replace(settings, usage_slice_threads=8)


def land(settings: Settings, interval: Interval = (DAY, NEXT)) -> Outcome:
    with open_client("jumpcloud_default", settings) as client:
        return land_unit(client, ORGANIZATION, interval, settings)


def ids(settings: Settings, interval: Interval = (DAY, NEXT)) -> list[str]:
    column = pq.ParquetFile(unit_path(settings.landing, ORG, *interval)).read(["event_id"])["event_id"]
    found: list[str] = column.to_pylist()
    return found


def files(settings: Settings) -> list[Path]:
    return [path for path in settings.landing.rglob("*") if path.is_file()]


def asked(sandbox: Sandbox) -> dict[str, list[Json]]:
    """The bodies of what was asked, by route."""
    found: dict[str, list[Json]] = {"count": [], "interval": [], "events": []}
    for entry in sandbox.requests():
        found[entry["path"].rpartition("/")[2]].append(entry["body"])
    return found


def spread(count: int, seconds: int = 86_400) -> list[Json]:
    """So many events over the day, evenly."""
    step = timedelta(seconds=seconds) / count
    return [event(f"e{number:05d}", f"{(DAY + number * step).isoformat()}Z") for number in range(count)]


# ---- where to cut ---------------------------------------------------------------------------------------------


def histogram(counts: dict[datetime, int]) -> Json:
    buckets = [
        {"key": int((moment - datetime(1970, 1, 1)).total_seconds() * 1000), "doc_count": count}
        for moment, count in counts.items()
    ]
    return {"buckets": buckets}


def test_slices_hold_about_a_page_each_and_leave_no_gap() -> None:
    minutes = {DAY + minute * 60 * SECOND: 700 for minute in range(1440)}
    cut = plan_slices(lambda _, width: histogram(minutes), (DAY, NEXT), 700 * 1440)
    assert (cut[0].start, cut[-1].end) == (DAY, NEXT)
    assert all(one.end == other.start for one, other in pairwise(cut))
    assert {one.expected for one in cut[:-1]} == {9_800}
    assert sum(one.expected for one in cut) == 700 * 1440


def test_a_small_interval_is_not_asked_about() -> None:
    def ask(interval: Interval, width: int) -> Any:
        raise AssertionError

    assert plan_slices(ask, (DAY, NEXT), 20_000) == [Slice(DAY, NEXT, 20_000)]


@pytest.mark.parametrize(
    ("span", "width"),
    [(timedelta(days=1), 10), (timedelta(hours=1), 1), (timedelta(hours=6), 5), (timedelta(days=400), 3600)],
)
def test_buckets_are_as_fine_as_a_histogram_may_be_long(span: timedelta, width: int) -> None:
    widths = []
    plan_slices(lambda _, asked_for: widths.append(asked_for) or histogram({DAY: 30_000}), (DAY, DAY + span), 30_000)
    assert widths[0] == width


@pytest.mark.parametrize(("width", "unit", "value"), [(10, "s", "10"), (300, "m", "5"), (7200, "h", "2")])
def test_a_width_is_told_as_the_api_wants_it(width: int, unit: str, value: str) -> None:
    assert interval_of(width) == {"interval_unit": unit, "interval_value": value}


def test_a_bucket_that_holds_too_much_is_looked_into_down_to_a_second() -> None:
    noon = DAY + timedelta(hours=12)
    spans: list[tuple[datetime, datetime, int]] = []

    def ask(interval: Interval, width: int) -> Json:
        spans.append((*interval, width))
        if width == 10:
            return histogram({DAY: 5_000, noon: 40_000, noon + timedelta(hours=3): 100})
        return histogram({noon + second * SECOND: 4_000 for second in range(10)})

    cut = plan_slices(ask, (DAY, NEXT), 45_100)
    assert spans == [(DAY, NEXT, 10), (noon, noon + 10 * SECOND, 1)]
    assert [one.expected for one in cut] == [9_000, 8_000, 8_000, 8_000, 8_000, 4_100]
    assert (cut[0].start, cut[-1].end) == (DAY, NEXT)


def test_buckets_of_another_width_than_asked_for_outside_of_the_interval_or_in_no_order_are_taken_as_they_are() -> None:
    counts = {NEXT: 2, DAY + 50 * SECOND: 4, DAY - 10 * SECOND: 1, DAY + 20 * SECOND: 3}
    assert read_buckets(histogram(counts), (DAY, NEXT)) == [
        Slice(DAY, DAY + 20 * SECOND, 1),
        Slice(DAY + 20 * SECOND, DAY + 50 * SECOND, 3),
        Slice(DAY + 50 * SECOND, NEXT, 6),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"buckets": None},
        {"buckets": [1]},
        {"buckets": [{"key": "soon", "doc_count": 1}]},
        {"buckets": []},
    ],
)
def test_an_answer_that_is_no_histogram_is_refused(answer: Any) -> None:
    with pytest.raises(PageShapeError, match="events/interval"):
        read_buckets(answer, (DAY, NEXT))


# ---- one unit -------------------------------------------------------------------------------------------------


def test_a_large_interval_is_read_in_slices_and_landed_as_one_unit(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, spread(300))
    sandbox.set_latency(20)
    outcome = land(settings)
    assert sorted(ids(settings)) == [f"e{number:05d}" for number in range(300)]
    assert (outcome.received, outcome.api_total, outcome.inside, outcome.strays, outcome.rows) == (
        300,
        300,
        300,
        0,
        300,
    )
    assert len(files(settings)) == 1
    requests = asked(sandbox)
    assert (len(requests["count"]), len(requests["interval"])) == (1, 1)
    assert len({body["start_time"] for body in requests["events"]}) >= 30
    assert outcome.requests == sum(map(len, requests.values()))
    assert 4 <= sandbox.request_log()["max_in_flight"] <= 8


@pytest.mark.parametrize("count", [1, 20])
def test_a_small_interval_is_one_walk_without_another_request(count: int, sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, spread(count))
    assert land(settings).received == count
    assert asked(sandbox)["interval"] == []


def test_one_request_at_a_time_is_one_walk(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, spread(100))
    assert land(replace(settings, usage_slice_threads=1)).received == 100
    assert asked(sandbox)["interval"] == []
    assert sandbox.request_log()["max_in_flight"] == 1


def test_events_at_the_edges_of_slices_come_in_both_and_are_taken_once(sandbox: Sandbox, settings: Settings) -> None:
    """Every event lies on the beginning of a bucket, and so does every cut."""
    sandbox.add_events(ORG, [event(f"e{n}", f"{(DAY + n * 10 * SECOND).isoformat()}Z") for n in range(100)])
    outcome = land(settings)
    assert sorted(ids(settings)) == sorted(f"e{n}" for n in range(100))
    assert (outcome.received, outcome.rows, outcome.strays) == (100, 100, 0)


@pytest.mark.parametrize("digits", ["", ".0003", ".000000999"])
def test_many_events_of_one_instant_at_an_edge_are_taken_once(
    digits: str, sandbox: Sandbox, settings: Settings
) -> None:
    """The slice that ends there does not walk through all of them; the one that begins there does."""
    ties = [event(f"tie{n:03d}", f"2026-03-01T12:00:00{digits}Z") for n in range(200)]
    sandbox.add_events(ORG, [*spread(30), *ties])
    outcome = land(settings)
    assert (outcome.received, outcome.rows, outcome.inside, outcome.strays) == (230, 230, 230, 0)
    assert len(set(ids(settings))) == 230
    assert len(asked(sandbox)["events"]) < 40


def test_all_events_in_one_second_are_read(sandbox: Sandbox, settings: Settings) -> None:
    rows = [event(f"e{n:03d}", f"2026-03-01T12:00:00.{n:03d}Z") for n in range(300)]
    sandbox.add_events(ORG, rows)
    outcome = land(settings)
    assert sorted(ids(settings)) == [f"e{n:03d}" for n in range(300)]
    assert (outcome.received, outcome.rows) == (300, 300)
    assert [body["interval_value"] for body in asked(sandbox)["interval"]] == ["10", "1"]


def test_the_end_of_the_unit_is_cut_and_counted_where_it_is_read_in_slices(
    sandbox: Sandbox, settings: Settings
) -> None:
    ends = [event(f"end{n}", "2026-03-02T00:00:00.000Z") for n in range(15)]
    sandbox.add_events(ORG, [*spread(100), *ends])
    outcome = land(settings)
    assert (outcome.received, outcome.api_total, outcome.inside, outcome.strays, outcome.rows) == (
        115,
        115,
        100,
        0,
        100,
    )
    assert sorted(ids(settings)) == [f"e{n:05d}" for n in range(100)]


def test_duplicates_inside_and_across_slices_count_once(sandbox: Sandbox, settings: Settings) -> None:
    """Two copies in one slice are landed as they came, as in one walk; copies at an edge are one."""
    rows = spread(100)
    again = [rows[5] | {"timestamp": "2026-03-01T20:00:00.5Z"}, rows[7]]
    sandbox.add_events(ORG, [*rows, *again])
    outcome = land(settings)
    assert (outcome.received, outcome.api_total, outcome.inside, outcome.rows) == (100, 100, 100, 102)


def test_strays_are_landed_once_and_counted(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same events, dated elsewhere or not at all, come with every slice."""
    sandbox.add_events(ORG, spread(100))
    strays = [event("before", "2026-02-27T00:00:00Z"), event("after", "2026-03-09T00:00:00Z"), event("odd", "soon")]
    page = [*strays, event("e-here", "2026-03-01T00:00:00.5Z")]
    sandbox.set_faults(
        {"match": COUNT, "do": {"body": {"count": 4}}},
        {"match": HISTOGRAM, "do": {"body": histogram({DAY: 3, DAY + 3600 * SECOND: 3})}},
        {"match": PAGE, "do": {"body": page}},
    )
    monkeypatch.setattr(slices, "ONE_WALK", 3)
    monkeypatch.setattr(slices, "SLICE_EVENTS", 3)
    outcome = land(settings)
    assert len(asked(sandbox)["events"]) == 2
    assert len(asked(sandbox)["interval"]) == 1
    assert (outcome.received, outcome.inside, outcome.strays, outcome.rows) == (4, 1, 3, 4)
    assert sorted(ids(settings)) == ["after", "before", "e-here", "odd"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 400},
        {"status": 404},
        {"status": 500},
        {"body": {"buckets": []}},
        {"body": {"message": "odd"}},
        {"body": histogram({DAY + hour * 3600 * SECOND: 4 for hour in range(24)})},
        {"body": histogram({DAY: 5_000_000})},
        {"body": histogram({NEXT + 3600 * SECOND: 100})},
    ],
    ids=["400", "404", "500", "empty", "odd", "hours, too few", "far too many", "elsewhere"],
)
def test_a_histogram_that_fails_or_lies_costs_time_and_nothing_else(
    fault: Json, sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.add_events(ORG, spread(300))
    sandbox.set_faults({"match": HISTOGRAM, "do": fault})
    outcome = land(settings)
    assert sorted(ids(settings)) == [f"e{number:05d}" for number in range(300)]
    assert (outcome.outcome, outcome.received, outcome.rows) == ("ok", 300, 300)


def test_a_server_that_takes_bounds_for_something_else_is_read_in_one_walk(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounds that are both exclusive: what lies on a cut comes in no slice."""
    sandbox.add_events(ORG, [event(f"e{n}", f"{(DAY + n * 10 * SECOND).isoformat()}Z") for n in range(1, 101)])
    read = tally._Aside.take_from
    monkeypatch.setattr(
        tally._Aside,
        "take_from",
        lambda self, page, part: read(self, page.filter(pa.compute.not_equal(page["event_at"], part.start)), part),
    )
    outcome = land(settings)
    assert (outcome.received, outcome.rows) == (100, 100)
    assert len(asked(sandbox)["interval"]) == 1


def test_more_events_beside_their_slices_than_edges_can_hold_are_read_in_one_walk(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tally, "MOST_ASIDE", 4)
    sandbox.add_events(ORG, [event(f"e{n}", f"{(DAY + n * 10 * SECOND).isoformat()}Z") for n in range(100)])
    assert land(settings).received == 100
    walked = [body for body in asked(sandbox)["events"] if body["start_time"] == "2026-03-01T00:00:00Z"]
    assert {body["end_time"] for body in walked} > {"2026-03-02T00:00:00Z"}


def test_events_that_arrive_while_slices_are_read_are_counted_again(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, spread(100))
    sandbox.set_faults({"match": {**COUNT, "nth": 1}, "do": {"wrong_total": -3}})
    outcome = land(settings)
    assert (outcome.received, outcome.api_total) == (100, 100)
    assert len(asked(sandbox)["interval"]) == 1


def test_slices_that_keep_disagreeing_with_the_count_land_as_incomplete_with_both_numbers(
    sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.add_events(ORG, spread(100))
    sandbox.set_faults({"match": COUNT, "do": {"wrong_total": 3}})
    outcome = land(settings)
    assert (outcome.outcome, outcome.received, outcome.api_total, outcome.rows) == ("incomplete", 100, 103, 100)
    assert str(outcome.reason).startswith("100 distinct ids received, 103 counted by JumpCloud, in 3 readings")


@pytest.mark.parametrize("nth", [1, 7])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 500}, TransientError),
        ({"body": [{"no": "id"}]}, PageShapeError),
        ({"truncate_body": True}, TransientError),
    ],
)
def test_a_slice_that_fails_fails_the_unit_and_nothing_is_landed(
    fault: Json, error: type[Exception], nth: int, sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.add_events(ORG, spread(100))
    last = "" if nth == 1 else '"end_time": ?"2026-03-02T00:00:00Z"'
    sandbox.set_faults({"match": {**PAGE, "body_regex": last}, "do": fault})
    with pytest.raises(error):
        land(settings)
    assert files(settings) == []


def test_a_disk_that_fills_up_stops_all_slices_and_lands_nothing(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.add_events(ORG, spread(300))
    written: list[int] = []

    def write(*_: Any) -> int:
        written.append(1)
        if len(written) > 3:
            raise OSError(28, "No space left on device")
        return 10

    monkeypatch.setattr(event_reader, "_write", write)
    with pytest.raises(OSError, match="No space left"):
        land(settings)
    assert files(settings) == []


# ---- 429 ------------------------------------------------------------------------------------------------------


def test_a_server_that_says_429_slows_all_slices_down_and_breaks_nothing(sandbox: Sandbox, settings: Settings) -> None:
    sandbox.add_events(ORG, spread(300))
    sandbox.set_latency(5)
    sandbox.set_faults(
        {"match": {**PAGE, "nth": [3, 4, 5, 9, 10, 20]}, "do": {"status": 429, "headers": {"Retry-After": "0.05"}}}
    )
    with open_client("jumpcloud_default", settings) as client:
        outcome = land_unit(client, ORGANIZATION, (DAY, NEXT), settings)
        assert client.rate_limiter.limit < math.inf
    assert sorted(ids(settings)) == [f"e{number:05d}" for number in range(300)]
    assert outcome.requests == len(sandbox.requests())


def test_requests_told_that_they_are_too_many_are_half_as_many_then_and_one_more_each_time() -> None:
    pace = RateLimiter()
    with ExitStack() as under_way:
        began = [under_way.enter_context(pace.turn()) for _ in range(8)]
        for moment in began:
            # All of them were under way together: one reason to slow down.
            pace.slow_down(moment, 0)
        assert pace.limit == 4
    for _ in range(4):
        pace.succeeded()
    assert pace.limit == 5
    with ExitStack() as under_way:
        began = [under_way.enter_context(pace.turn()) for _ in range(5)]
        pace.slow_down(began[-1], 0)
    assert pace.limit == 2
    for _ in range(3):
        with pace.turn() as moment:
            pace.slow_down(moment, 0)
    assert pace.limit == 1


def test_nobody_asks_while_the_server_wants_silence_nor_when_as_many_as_may_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr("jumpcloud_elt.api.rate_limit.time.monotonic", lambda: now[0])
    pace = RateLimiter()
    with pace.turn() as began:
        pace.slow_down(began, 30)
        pace.slow_down(began, 5)
    waited: list[float | None] = []

    def wait(seconds: float | None = None) -> bool:
        waited.append(seconds)
        now[0] += seconds or 0
        return True

    monkeypatch.setattr(pace._changed, "wait", wait)
    with pace.turn() as began:
        assert began == 130
        monkeypatch.setattr(pace._changed, "wait", lambda seconds: 1 // 0)
        with pytest.raises(ZeroDivisionError), pace.turn():
            pass
    assert waited == [30]


# ---- several units --------------------------------------------------------------------------------------------


def test_small_units_of_a_range_are_read_at_the_same_time_and_never_more_than_configured(
    sandbox: Sandbox, settings: Settings
) -> None:
    days = [(DAY + n * (NEXT - DAY), DAY + (n + 1) * (NEXT - DAY)) for n in range(12)]
    sandbox.add_events(
        ORG, [event(f"e{n}", f"{(start + 3600 * SECOND).isoformat()}Z") for n, (start, _) in enumerate(days)]
    )
    sandbox.set_latency(20)
    landed: list[Outcome] = []
    with open_client("jumpcloud_default", settings) as client:
        land_units(client, ORGANIZATION, days, replace(settings, usage_slice_threads=3), landed)
    assert [(one.interval_start, one.received, one.requests) for one in landed] == [(start, 1, 2) for start, _ in days]
    assert 2 <= sandbox.request_log()["max_in_flight"] <= 3


def test_a_unit_that_fails_is_raised_and_what_landed_beside_it_is_told(sandbox: Sandbox, settings: Settings) -> None:
    days = [(DAY + n * (NEXT - DAY), DAY + (n + 1) * (NEXT - DAY)) for n in range(12)]
    sandbox.set_faults({"match": {**PAGE, "body_regex": '"start_time": ?"2026-03-03'}, "do": {"status": 400}})
    landed: list[Outcome] = []
    with open_client("jumpcloud_default", settings) as client, pytest.raises(Exception, match="400"):
        land_units(client, ORGANIZATION, days, settings, landed)
    assert {one.interval_start for one in landed} == {
        datetime.strptime(path.name[:8], "%Y%m%d") for path in files(settings)
    }
    assert datetime(2026, 3, 3) not in {one.interval_start for one in landed}


def test_a_range_whose_task_is_ended_does_not_go_on(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow ends a task by an exception in its main thread."""
    days = [(DAY + n * (NEXT - DAY), DAY + (n + 1) * (NEXT - DAY)) for n in range(30)]

    def ended(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(events, "wait", ended)
    with open_client("jumpcloud_default", settings) as client, pytest.raises(KeyboardInterrupt):
        land_units(client, ORGANIZATION, days, settings, [])
    assert len(asked(sandbox)["count"]) < 10
    assert [path for path in files(settings) if path.suffix != ".parquet"] == []


# ---- the parts ------------------------------------------------------------------------------------------------


def test_ids_are_counted_whatever_they_are() -> None:
    ids = [f"{5:024x}", f"{0xABCDEF:024X}", f"{0xABCDEF:024x}", "", "ü", "x" * 400, f"{5:024x}", f"{5:023x}"]
    columns = [pa.array(ids), pa.array(ids).slice(2, 4), pa.array([], pa.string()), pa.array([f"{5:024x}"])]
    assert count_distinct([keys_of(one) for one in columns]) == len(set(ids))
    assert count_distinct([]) == count_distinct([keys_of(pa.array([], pa.string()))]) == 0


def test_no_more_pages_than_there_is_room_for_are_in_memory() -> None:
    held, most = 0, 0
    batch = pa.record_batch([pa.array([1])], ["n"])

    def read(part: Slice, buffer: Any) -> Iterator[pa.RecordBatch]:
        nonlocal held, most
        for _ in range(5):
            buffer.read([b"page"])
            held += 1
            most = max(most, held)
            yield batch

    parts = [Slice(DAY, NEXT, 0)] * 6
    taken = 0
    with (
        BufferPool(3, 1) as pool,
        ThreadPoolExecutor(6) as threads,
        closing(parallel.fetch_slices(parts, read, threads, pool)) as pages,
    ):
        for _ in pages:
            held -= 1
            taken += 1
    assert taken == 30
    assert most <= 4


def test_a_walk_that_is_left_early_stops_its_slices_and_frees_every_place() -> None:
    batch = pa.record_batch([pa.array([1])], ["n"])

    def read(part: Slice, buffer: Any) -> Iterator[pa.RecordBatch]:
        while True:
            buffer.read([b"page"])
            yield batch

    with BufferPool(2, 1) as pool, ThreadPoolExecutor(4) as threads:
        with closing(parallel.fetch_slices([Slice(DAY, NEXT, 0)] * 4, read, threads, pool)) as pages:
            next(pages)
        buffers = [pool.acquire(), pool.acquire()]
    assert len(buffers) == 2


def test_a_page_may_be_longer_than_the_one_before() -> None:
    with BufferPool(1, 1) as pool:
        buffer = pool.buffer()
        for size in (3, 5_000_000, 70):
            assert bytes(buffer.read([b"ab"] * size)) == b"ab" * size
            buffer.release()
