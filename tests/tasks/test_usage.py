"""Whose events a run reads, and what becomes of an organization whose events it may not read, or not yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from jumpcloud_elt.core.airflow_compat import AirflowFailException, AirflowSkipException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.layout import landed_units
from jumpcloud_elt.tasks import common, usage
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json
from support.pipeline import query, run_usage, run_warehouse
from support.worlds import DAY, ORGANIZATION, TODAY, organization, serve

RUN_OF = {"dag_id": "jumpcloud_usage", "run_id": "usage"}
YESTERDAY = [((TODAY - DAY).isoformat(), TODAY.isoformat())]
INSIGHTS, COUNT = {"path_regex": "^/insights/"}, {"path_regex": "/events/count$"}
NOT_ENABLED = {"status": 402, "body": {"message": "Directory Insights is not enabled for your organization"}}
FORBIDDEN = {"status": 403, "body": {"message": "Forbidden"}}


@pytest.fixture
def served(sandbox: Sandbox, settings: Settings) -> Sandbox:
    """One organization with Directory Insights and a log-in of yesterday."""
    login = {
        "id": "e" * 24,
        "event_type": "user_login_attempt",
        "service": "directory",
        "success": True,
        "initiated_by": {"id": f"1{0:023x}", "type": "user"},
        "timestamp": f"{TODAY - DAY:%Y-%m-%d}T08:00:00Z",
    }
    serve(sandbox, organization(3) | {"events": [login]})
    return sandbox


def outcomes(settings: Settings) -> list[str]:
    return sorted(one.outcome for one in common.run_in_landing(settings, RUN_OF).read_manifest())


def scheduled() -> SimpleNamespace:
    """A scheduled run of yesterday that has begun now."""
    return SimpleNamespace(
        run_type="scheduled",
        logical_date=None,
        start_date=datetime.now(UTC),
        data_interval_start=(TODAY - DAY).replace(tzinfo=UTC),
        data_interval_end=TODAY.replace(tzinfo=UTC),
    )


def probe() -> usage.ProbedOrganization:
    [probed] = usage.probe_directory_insights(common.list_organizations([]))
    return probed


def test_a_connection_whose_usage_is_excluded_shows_as_skipped_though_its_key_is_refused(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jumpcloud_default,jc_dead")
    monkeypatch.setenv("AIRFLOW_CONN_JC_DEAD", connection_json(served.url, "dead-key"))
    assert len(run_usage("usage", TODAY - DAY, TODAY)) == 1
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_EXCLUDE", "jc_dead")
    assert run_usage("usage", TODAY - DAY, TODAY) == []
    assert outcomes(settings) == ["excluded", "ok"]
    assert query(run_warehouse("warehouse"), "select usage_state from organizations") == [{"usage_state": "available"}]


@pytest.mark.parametrize("at_the_probe", [{"status": 503}, None])
def test_directory_insights_that_turn_out_not_to_be_enabled_after_the_probe_cost_nothing(
    at_the_probe: dict[str, Any] | None, served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS", "5")
    if at_the_probe:
        served.set_faults({"match": COUNT, "do": at_the_probe})
    probed = probe()
    assert (probed["error"] is not None) == bool(at_the_probe) and probed["unavailable"] is None
    served.set_faults({"match": INSIGHTS, "do": NOT_ENABLED})
    with pytest.raises(AirflowSkipException, match=r"Directory Insights is not enabled for this organization \(402"):
        usage.extract_events(probed, RUN_OF, YESTERDAY)
    assert usage.choose_organizations_to_catch_up([probed], RUN_OF, scheduled(), {}) == []
    assert usage.record_usage_run([probed], RUN_OF, YESTERDAY) == []
    assert outcomes(settings) == ["skipped"]


def test_directory_insights_that_end_while_a_run_catches_up_cost_nothing_that_has_landed(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS", "5")
    probed = probe()
    assert usage.extract_events(probed, RUN_OF, YESTERDAY) == 1
    [chosen] = usage.choose_organizations_to_catch_up([probed], RUN_OF, scheduled(), {})
    served.set_faults({"match": INSIGHTS, "do": NOT_ENABLED})
    with pytest.raises(AirflowSkipException, match="402"):
        usage.catch_up_events(chosen, RUN_OF, YESTERDAY, scheduled())
    assert usage.record_usage_run([probed], RUN_OF, YESTERDAY) == []
    assert outcomes(settings) == ["ok", "skipped"]


@pytest.mark.parametrize("has_landed", [False, True])
def test_a_right_that_is_taken_away_after_the_probe_fails_where_events_have_landed_before(
    has_landed: bool, served: Sandbox, settings: Settings
) -> None:
    if has_landed:
        assert run_usage("before", TODAY - DAY, TODAY) == []
    probed = probe()
    served.set_faults({"match": INSIGHTS, "do": FORBIDDEN})
    with pytest.raises(AirflowFailException if has_landed else AirflowSkipException, match="403 Forbidden") as raised:
        usage.extract_events(probed, RUN_OF, YESTERDAY)
    assert ("as it did before" in str(raised.value)) == has_landed
    assert len(usage.record_usage_run([probed], RUN_OF, YESTERDAY)) == has_landed


def test_events_alone_that_are_refused_fail_the_organization(served: Sandbox, settings: Settings) -> None:
    probed = probe()
    served.set_faults({"match": {"path_regex": "/events$"}, "do": FORBIDDEN})
    with pytest.raises(AirflowFailException, match="403 Forbidden"):
        usage.extract_events(probed, RUN_OF, YESTERDAY)
    assert landed_units(settings.landing, ORGANIZATION) == {}


# ---- the time for catching up, and what nobody catches up -----------------------------------------------------


def test_catching_up_has_its_minutes_although_the_run_waited_for_its_events(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS", "4")
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_ARRIVAL_LAG_MINUTES", "90")
    end = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=90)
    units = [((end - DAY).isoformat(), end.isoformat())]
    probed = probe()
    usage.extract_events(probed, RUN_OF, units)
    before = len(landed_units(settings.landing, ORGANIZATION))
    run = SimpleNamespace(run_type="scheduled", start_date=end.replace(tzinfo=UTC))
    usage.catch_up_events(probed, RUN_OF, units, run)
    assert len(landed_units(settings.landing, ORGANIZATION)) > before


@pytest.mark.parametrize("why", ["failed", "switched off"])
def test_what_is_about_to_leave_retention_is_told_of_an_organization_that_catches_up_nothing(
    why: str, served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connection_json(served.url, API_KEY, extra={"usage_retention_days": 6})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS", "")
    if why == "failed":
        served.set_faults({"match": INSIGHTS, "do": {"status": 400, "body": {"message": "odd"}}})
    else:
        monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_CATCH_UP_MINUTES", "0")
    assert len(run_usage("usage", TODAY - DAY, TODAY, "scheduled")) == (why == "failed")
    manifest = common.run_in_landing(settings, RUN_OF).read_manifest()
    leaving = {one.interval_start: one.interval_end for one in manifest if one.outcome == "leaving"}
    assert leaving == {TODAY - number * DAY: TODAY - (number - 1) * DAY for number in (5, 4, 3)}


@pytest.mark.parametrize("why", ["excluded", "not enabled", "backfill"])
def test_nothing_is_told_to_leave_of_an_organization_without_usage_nor_by_a_backfill(
    why: str, served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS", "")
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_CATCH_UP_MINUTES", "0")
    if why == "excluded":
        monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_EXCLUDE", ORGANIZATION)
    if why == "not enabled":
        served.set_faults({"match": INSIGHTS, "do": NOT_ENABLED})
    assert run_usage("usage", TODAY - DAY, TODAY, "backfill" if why == "backfill" else "scheduled") == []
    assert "leaving" not in outcomes(settings)
