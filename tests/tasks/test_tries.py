"""Airflow tries a task again, or ends it: what had landed stays, is told, and is not read again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.timeout import timeout

from jumpcloud_elt.core.airflow_compat import AirflowException, AirflowTaskTimeout
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.tasks import common, directory, usage
from jumpcloud_sandbox.client import Sandbox
from support.worlds import DAY, TODAY, organization, serve

RUN_OF = {"dag_id": "jumpcloud_usage", "run_id": "run"}
UNAVAILABLE = {"status": 503}
NOT_IN_PLAN = {"status": 402, "body": {"message": "Directory Insights is not enabled for your organization"}}
Json = dict[str, Any]


def on(*days_ago: int) -> Json:
    """The requests about the events of these days."""
    starts = "|".join(f"{TODAY - number * DAY:%Y-%m-%d}" for number in days_ago)
    return {"path_regex": "/events", "body_regex": f'"start_time": ?"({starts})'}


def units(first: int, last: int = 1) -> list[tuple[str, str]]:
    days = [TODAY - number * DAY for number in range(first, last - 1, -1)]
    return [(day.isoformat(), (day + DAY).isoformat()) for day in days]


def read(sandbox: Sandbox) -> list[int]:
    """How many days ago the days began whose events were asked for since the log was cleared."""
    starts = {entry["body"]["start_time"][:10] for entry in sandbox.requests() if entry["path"].endswith("/events")}
    return [number for number in range(30) if f"{TODAY - number * DAY:%Y-%m-%d}" in starts]


def left(settings: Settings, probed: usage.ProbedOrganization) -> list[tuple[int, str]]:
    """What the tries of an organization's tasks have left: how many days ago each unit began, and its outcome."""
    outcomes = common.run_in_landing(settings, RUN_OF).outcomes_of(probed)
    return [((TODAY - one.interval_start).days, one.outcome) for one in outcomes if one.interval_start is not None]


@pytest.fixture
def probed(sandbox: Sandbox, settings: Settings) -> usage.ProbedOrganization:
    logins = [
        {
            "id": f"{number:024x}",
            "event_type": "user_login_attempt",
            "service": "directory",
            "success": True,
            "initiated_by": {"id": f"1{0:023x}", "type": "user"},
            "timestamp": f"{(TODAY - number * DAY).isoformat()}Z",
        }
        for number in range(1, 9)
    ]
    serve(sandbox, organization(3) | {"events": logins})
    [probed] = usage.probe_directory_insights(common.list_organizations([]))
    sandbox.clear_requests()
    return probed


def test_a_later_try_reads_what_is_missing_and_a_run_that_is_cleared_reads_everything(
    probed: usage.ProbedOrganization, sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.set_faults({"match": on(1), "do": UNAVAILABLE})
    with pytest.raises(AirflowException):
        usage.extract_events(probed, RUN_OF, units(6))
    assert left(settings, probed) == [*((number, "ok") for number in range(6, 1, -1)), (6, "failed")]
    sandbox.set_faults()
    sandbox.clear_requests()
    usage.extract_events(probed, RUN_OF, units(6))
    assert read(sandbox) == [1]
    assert left(settings, probed) == [(number, "ok") for number in range(6, 0, -1)]
    assert usage.record_usage_run([probed], RUN_OF, units(6)) == []
    sandbox.clear_requests()
    usage.extract_events(probed, RUN_OF, units(6))
    assert read(sandbox) == [1, 2, 3, 4, 5, 6]


def test_what_an_earlier_try_of_catching_up_has_landed_is_recorded(
    probed: usage.ProbedOrganization, sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS", "4")
    dag_run = SimpleNamespace(run_type="scheduled", logical_date=None, start_date=datetime.now(UTC))
    usage.extract_events(probed, RUN_OF, units(1))
    beyond = {"match": on(4), "do": NOT_IN_PLAN}
    sandbox.set_faults(beyond, {"match": on(3), "do": UNAVAILABLE})
    with pytest.raises(AirflowException):
        usage.catch_up_events(probed, RUN_OF, units(1), dag_run)
    sandbox.set_faults(beyond)
    usage.catch_up_events(probed, RUN_OF, units(1), dag_run)
    assert usage.record_usage_run([probed], RUN_OF, units(1)) == []
    recorded = common.run_in_landing(settings, RUN_OF).read_manifest()
    found = {((TODAY - one.interval_start).days, one.outcome) for one in recorded if one.interval_start}
    assert found == {(1, "ok"), (2, "ok"), (3, "ok"), (4, "unverified")}


def test_a_task_that_is_ended_stops_at_once_and_leaves_what_had_landed(
    probed: usage.ProbedOrganization, sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__RETRY_WAIT_SECONDS", "30")
    sandbox.set_faults({"match": on(5), "do": UNAVAILABLE})
    assert ended(lambda: usage.extract_events(probed, RUN_OF, units(8))) < 15
    assert {(8, "ok"), (7, "ok"), (6, "ok"), (8, "failed")} <= set(left(settings, probed))
    [told] = [one for one in common.run_in_landing(settings, RUN_OF).outcomes_of(probed) if one.outcome == "failed"]
    assert told.reason == "not finished within task_timeout_minutes (180)"


def test_a_directory_task_that_is_ended_asks_nothing_more(
    probed: usage.ProbedOrganization, sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__RETRY_WAIT_SECONDS", "30")
    sandbox.set_faults({"match": {"path_regex": "/api/systemusers"}, "do": UNAVAILABLE})
    assert ended(lambda: directory.extract_directory(probed, {"dag_id": "jumpcloud_directory", "run_id": "run"})) < 15
    assert {entry["path"] for entry in sandbox.requests()} == {"/api/systemusers"}
    assert list(settings.landing.glob("capabilities/**/*.parquet")) == []


def test_a_pause_that_jumpcloud_asked_for_holds_up_no_task_that_is_ended(
    probed: usage.ProbedOrganization, sandbox: Sandbox, settings: Settings
) -> None:
    sandbox.set_faults({"match": on(1), "do": {"status": 429, "headers": {"Retry-After": "60"}}})
    assert ended(lambda: usage.extract_events(probed, RUN_OF, units(4))) < 15
    assert (4, "failed") in left(settings, probed)


def ended(task: Callable[[], object]) -> float:
    """Seconds that a task took whose time limit is two."""
    began = time.monotonic()
    with pytest.raises(AirflowTaskTimeout), timeout(2):
        task()
    return time.monotonic() - began
