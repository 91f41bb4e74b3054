"""A long Retry-After puts a task off, wherever JumpCloud says it, and never for longer than a run lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jumpcloud_elt.core.airflow_compat import AirflowRescheduleException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.tasks import common, usage
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json
from support.worlds import DAY, ORGANIZATION, TODAY, organization, serve

RUN_OF = {"dag_id": "jumpcloud_usage", "run_id": "usage"}
YESTERDAY = [((TODAY - DAY).isoformat(), TODAY.isoformat())]


def wait(seconds: int, path: str) -> dict[str, Any]:
    headers = {"Retry-After": str(seconds)}
    return {"match": {"path_regex": path}, "do": {"status": 429, "headers": headers, "body": {"message": "slow down"}}}


def is_in(seconds: int, raised: pytest.ExceptionInfo[AirflowRescheduleException]) -> bool:
    return abs(raised.value.reschedule_date - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(minutes=1)


def test_listing_organizations_is_put_off_for_as_long_as_jumpcloud_asks(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, organization(3))
    sandbox.set_faults(wait(3600, "^/api/organizations"))
    with pytest.raises(AirflowRescheduleException) as raised:
        common.list_organizations([], is_last_try=False)
    assert is_in(3600, raised)
    assert common.is_last_try({"ti": _Ti, "task_reschedule_count": 1})
    assert not common.is_last_try({"ti": _Ti, "task_reschedule_count": 0})


class _Ti:
    try_number, max_tries = 1, 3


def test_a_wait_beyond_the_run_leaves_the_other_connections_to_be_synced(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, organization(3))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jc_busy,jumpcloud_default")
    monkeypatch.setenv("AIRFLOW_CONN_JC_BUSY", connection_json(sandbox.url, API_KEY))
    busy = wait(90_000, "^/api/organizations")
    sandbox.set_faults(busy | {"match": {**busy["match"], "times": 1}})
    listed = common.list_organizations([], is_last_try=False)
    assert [one["organization_id"] for one in listed] == [ORGANIZATION, None]
    assert "Retry-After: 90000 s" in str(listed[1]["error"])


def test_events_that_were_not_to_be_probed_yet_are_read_when_jumpcloud_said(
    sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, organization(3))
    sandbox.set_faults(wait(3600, "/events/count$"))
    [probed] = usage.probe_directory_insights(common.list_organizations([]))
    with pytest.raises(AirflowRescheduleException) as raised:
        usage.extract_events(probed, RUN_OF, YESTERDAY)
    assert is_in(3600, raised)
