"""The Dags under Airflow's scheduler: the state of every task instance, by organization, and what became of it.

Each scenario is a world of a few organizations, the runs over it, and the warehouse runs that follow.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jumpcloud_sandbox.client import Sandbox
from support.airflow_server import AirflowServer, EndedRun
from support.paths import ROOT
from support.pipeline import query

DIRECTORY, USAGE, WAREHOUSE = "jumpcloud_directory", "jumpcloud_usage", "jumpcloud_warehouse"
ALPHA, BRAVO, CHARLIE, DELTA = (f"5f0a1c2e9d3b4a001122440{number}" for number in range(4))
NAMES = {ALPHA: "Alpha", BRAVO: "Bravo", CHARLIE: "Charlie", DELTA: "Delta"}
KEY = "key-of-the-scenarios"
CONNECTION = "jumpcloud_default"
DAY = timedelta(days=1)
EVENTS = "directory_insights_events"
NOT_ENABLED = (
    "Directory Insights is not enabled for this organization "
    "(402 Directory Insights is not enabled for your organization)"
)
FORBIDDEN = "The key may not read Directory Insights of this organization (403 Forbidden)"
# The tasks that are not an organization's own, where nothing goes wrong.
AROUND_DIRECTORY = dict.fromkeys(("list_organizations", "record_run", "report_failures", "notify"), "success")
AROUND_USAGE = dict.fromkeys(
    (
        *AROUND_DIRECTORY,
        "plan_units",
        "probe_directory_insights",
        "choose_usage_branch",
        "choose_organizations_to_catch_up",
    ),
    "success",
)
WAREHOUSE_STATES = dict.fromkeys(("build", "check", "publish", "report_failures"), "success") | {
    "prune_snapshots": "skipped"
}

Json = dict[str, Any]


@dataclass
class Scenario:
    """A world, and what is done with it. `data_root` is the scenario's own."""

    server: AirflowServer
    sandbox: Sandbox
    data_root: Path
    today: datetime
    runs: dict[str, EndedRun] = field(default_factory=dict)

    def run(self, *dag_ids: str) -> None:
        """Run these Dags beside each other, to their end."""
        run_ids = {dag_id: self.server.trigger(dag_id) for dag_id in dag_ids}
        self.runs |= {dag_id: self.server.end_of(dag_id, run_id) for dag_id, run_id in run_ids.items()}

    def told(self, dag_id: str) -> list[Json]:
        """What the notifier was told by runs of a Dag: run, subject and message."""
        file = self.data_root / "told.jsonl"
        news = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [one for one in news if one["run"].startswith(f"{dag_id} ")]

    def outcomes(self, run: EndedRun) -> dict[str, tuple[Any, ...]]:
        """What the run's manifest says of each organization: its streams' outcomes, and its reasons."""
        columns = ["run_id", "organization_name", "outcome", "reason"]
        rows = pq.read_table(self.data_root / "landing" / "_runs" / run.dag_id, columns=columns).to_pylist()
        rows = [row for row in rows if row["run_id"] == run.run_id]
        return {
            name: tuple(sorted({(row["outcome"], row["reason"]) for row in rows if row["organization_name"] == name}))
            for name in {row["organization_name"] for row in rows}
        }

    def landed(self, stream: str) -> dict[str, list[str]]:
        """The landed files of a stream, by organization."""
        found: dict[str, list[str]] = {}
        for path in sorted((self.data_root / "landing" / stream).rglob("*.parquet")):
            organization_id = path.parts[path.parts.index(stream) + 1].removeprefix("organization_id=")
            found.setdefault(NAMES[organization_id], []).append(path.name)
        return found

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query on the published warehouse."""
        rows = query(self.data_root / "warehouse" / "jumpcloud.duckdb", sql)
        return [tuple(row.values()) for row in rows]


Begin = Callable[..., Scenario]


@pytest.fixture(scope="module")
def begin(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, sandbox_process: Sandbox
) -> Iterator[Begin]:
    """Begin a scenario, with nothing landed and nothing running: `begin(organization, …, faults=[…])`.

    Airflow starts once; what it has for its data root is a link to the scenario's.
    """
    link = tmp_path_factory.mktemp("airflow") / "data"
    notifier = {"class": "support.recording.FileNotifier", "kwargs": {"path": str(link / "told.jsonl")}}
    options = {
        "AIRFLOW__JUMPCLOUD_ELT__NOTIFIERS": json.dumps([notifier]),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
    }
    home = link.parent
    with AirflowServer.start(home, migrated_database, link, options=options) as server:

        def begin(*organizations: Json, faults: tuple[Json, ...] = ()) -> Scenario:
            server.await_rest()
            sandbox_process.reset()
            key = {"key": KEY, "organizations": [one["id"] for one in organizations], "is_multi_tenant": True}
            sandbox_process.set_world({"organizations": list(organizations), "keys": [key]})
            sandbox_process.set_faults(*faults)
            server.set_connection(CONNECTION, host=sandbox_process.url, password=KEY)
            link.unlink(missing_ok=True)
            data_root = tmp_path_factory.mktemp("scenario")
            link.symlink_to(data_root, target_is_directory=True)
            return Scenario(server, sandbox_process, data_root, _today())

        yield begin


@pytest.fixture(scope="module", autouse=True)
def scheduled(begin: Begin) -> Scenario:
    """The first of all scenarios: unpaused, jumpcloud_usage runs at once, and must not run into another."""
    scenario = begin(organization(ALPHA), organization(BRAVO))
    for dag_id in (DIRECTORY, WAREHOUSE, USAGE):
        scenario.server.unpause(dag_id)
    scenario.runs[USAGE] = scenario.server.end_of(USAGE, scenario.server.first_run_id(USAGE))
    scenario.runs[WAREHOUSE] = scenario.server.warehouse_run_after(scenario.runs[USAGE])
    return scenario


@pytest.fixture(scope="module")
def mixed(begin: Begin, scheduled: Scenario) -> Scenario:
    """One organization that works, one without Directory Insights, one whose events cannot be read, and one
    whose key is refused; both Dags, beside each other."""
    scenario = begin(
        organization(ALPHA),
        organization(BRAVO, "not_enabled"),
        organization(CHARLIE),
        organization(DELTA, "forbidden"),
        faults=(
            {
                "match": {"organization_id": CHARLIE, "path_regex": "/directory/v1/events$"},
                "do": {"status": 500, "body": {"message": "out of order"}},
            },
            {
                "match": {"organization_id": DELTA, "path_regex": "^/api/systemusers$"},
                "do": {"status": 401, "body": {"message": "Unauthorized: api key user not found"}},
            },
        ),
    )
    scenario.run(DIRECTORY, USAGE)
    return scenario


@pytest.fixture(scope="module")
def backfilled(begin: Begin, scheduled: Scenario) -> Scenario:
    """Five days of usage backfilled beside a directory run."""
    scenario = begin(organization(ALPHA), organization(BRAVO, "not_enabled"))
    first, last = scenario.today - 6 * DAY, scenario.today - 2 * DAY
    run_ids = scenario.server.backfill(USAGE, first, last)
    scenario.run(DIRECTORY)
    scenario.runs |= {run_id: scenario.server.end_of(USAGE, run_id) for run_id in run_ids}
    scenario.server.await_rest()
    return scenario


def organization(identifier: str, insights: str = "enabled") -> Json:
    """Two users, an administrator, an application; of the first user a log-in at noon of each of seven days."""
    user_id, idle_id, administrator_id, application_id = (f"{identifier[:-1]}{last}" for last in "abcd")
    users = [
        {"_id": user_id, "username": "used", "email": "used@x.example", "activated": True},
        {"_id": idle_id, "username": "idle", "email": "idle@x.example", "activated": True},
    ]
    return {
        "id": identifier,
        "displayName": NAMES[identifier],
        "insights": insights,
        "users": [user | {"state": "ACTIVATED"} for user in users],
        "administrators": [{"_id": administrator_id, "email": "admin@x.example", "roleName": "Manager"}],
        "applications": [{"_id": application_id, "name": "wiki", "displayLabel": "Wiki"}],
        "application_users": {application_id: [user["_id"] for user in users]},
        "events": [
            {
                "id": f"{NAMES[identifier]} {_today() - day * DAY:%Y-%m-%d}",
                "event_type": "user_login_attempt",
                "service": "directory",
                "timestamp": f"{(_today() - day * DAY + DAY / 2).isoformat()}Z",
                "success": True,
                "organization": identifier,
                "initiated_by": {"type": "user", "id": user_id, "username": "used"},
            }
            for day in range(1, 8)
        ],
    }


@pytest.fixture(scope="module")
def run_again(begin: Begin, scheduled: Scenario) -> dict[str, EndedRun]:
    """One directory run, cleared again and again, of which Airflow sees what the manifest does not: *first*;
    *broken*: all of it again, and the last step of an organization fails; *mended*: what failed alone; *whole*."""
    scenario = begin(organization(ALPHA), organization(BRAVO))
    run_id = scenario.server.trigger(DIRECTORY)
    runs = {"first": scenario.server.end_of(DIRECTORY, run_id)}
    everything = sorted({name.partition("[")[0] for name in runs["first"].tasks})
    folder = scenario.data_root / "landing" / "capabilities" / f"organization_id={ALPHA}"
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("no folder")
    scenario.server.clear(DIRECTORY, run_id, *everything)
    runs["broken"] = scenario.server.end_of(DIRECTORY, run_id)
    folder.unlink()
    aside.rename(folder)
    scenario.server.clear(DIRECTORY, run_id, *everything, only_failed=True)
    runs["mended"] = scenario.server.end_of(DIRECTORY, run_id)
    assert "clear record_run" in scenario.server.log_of(runs["mended"], "report_failures")
    scenario.server.clear(DIRECTORY, run_id, "record_run", "report_failures")
    return runs | {"whole": scenario.server.end_of(DIRECTORY, run_id)}


def test_the_first_scheduled_run_lands_the_last_complete_day_of_everybody(scheduled: Scenario) -> None:
    run = scheduled.runs[USAGE]
    yesterday, today = _last_day_before(run)
    assert (run.run_type, run.state, run.tries) == ("scheduled", "success", 1)
    assert run.data_interval == (yesterday, today)
    assert run.states == AROUND_USAGE | {
        "extract_events[Alpha]": "success",
        "extract_events[Bravo]": "success",
        "catch_up[Alpha]": "success",
        "catch_up[Bravo]": "success",
        "usage_unavailable": "skipped",
    }
    assert scheduled.outcomes(run) == {"Alpha": (("ok", None),), "Bravo": (("ok", None),)}
    assert scheduled.landed(EVENTS) == {"Alpha": [_unit(yesterday)], "Bravo": [_unit(yesterday)]}
    after = scheduled.runs[WAREHOUSE]
    assert (after.run_type, after.state, after.states) == ("asset_triggered", "success", WAREHOUSE_STATES)
    assert sorted(scheduled.query("select event_id from events")) == [
        (f"Alpha {yesterday:%Y-%m-%d}",),
        (f"Bravo {yesterday:%Y-%m-%d}",),
    ]


def test_a_run_that_has_landed_before_ends_failed_when_a_task_of_it_fails(run_again: dict[str, EndedRun]) -> None:
    both = {"extract_directory[Alpha]": "success", "extract_directory[Bravo]": "success"}
    first, broken, mended, whole = run_again.values()
    assert (first.state, first.states) == ("success", AROUND_DIRECTORY | both)
    assert broken.states == AROUND_DIRECTORY | both | {
        "extract_directory[Alpha]": "failed",
        "report_failures": "failed",
    }
    assert broken.state == "failed"
    # Airflow cleared the extraction and the report; record_run had succeeded.
    assert mended.states == AROUND_DIRECTORY | both | {"report_failures": "failed"}
    assert (whole.state, whole.states) == ("success", AROUND_DIRECTORY | both)


def test_a_branch_leaves_the_extraction_out_where_no_organization_has_directory_insights(begin: Begin) -> None:
    scenario = begin(organization(ALPHA, "not_enabled"), organization(BRAVO, "forbidden"))
    scenario.run(USAGE)
    run = scenario.runs[USAGE]
    assert (run.state, run.tries) == ("success", 1)
    assert run.states == AROUND_USAGE | {
        "extract_events": "skipped",
        "catch_up": "skipped",
        "usage_unavailable": "success",
    }
    reasons = {"Alpha": (("skipped", NOT_ENABLED),), "Bravo": (("skipped", FORBIDDEN),)}
    assert scenario.outcomes(run) == reasons
    assert scenario.landed(EVENTS) == {}
    asked = {entry["path"] for entry in scenario.sandbox.requests()}
    assert "/insights/directory/v1/events/count" in asked and "/insights/directory/v1/events" not in asked
    after = scenario.server.warehouse_run_after(run)
    assert (after.state, after.states) == ("success", WAREHOUSE_STATES)
    assert sorted(scenario.query("select organization_id, stream, outcome, reason from sync_log")) == [
        (ALPHA, EVENTS, "skipped", NOT_ENABLED),
        (BRAVO, EVENTS, "skipped", FORBIDDEN),
    ]


def test_organizations_fail_skip_and_succeed_beside_each_other_in_one_usage_run(mixed: Scenario) -> None:
    run = mixed.runs[USAGE]
    # Of Charlie's events the 500 may heal; Delta's refused key will not.
    tries = {name: task.tries for name, task in run.tasks.items() if task.tries > 1}
    assert (run.state, tries) == ("failed", {"extract_events[Charlie]": 4})
    assert run.states == AROUND_USAGE | {
        "extract_events[Alpha]": "success",
        "extract_events[Bravo]": "skipped",
        "extract_events[Charlie]": "failed",
        "extract_events[Delta]": "failed",
        "catch_up[Alpha]": "success",
        "usage_unavailable": "skipped",
        "report_failures": "failed",
    }
    outcomes = mixed.outcomes(run)
    assert {name: [outcome for outcome, _ in outcomes[name]] for name in outcomes} == {
        "Alpha": ["ok"],
        "Bravo": ["skipped"],
        "Charlie": ["failed"],
        "Delta": ["failed"],
    }
    assert outcomes["Bravo"] == (("skipped", NOT_ENABLED),)
    assert "500 out of order" in outcomes["Charlie"][0][1]
    assert set(mixed.landed(EVENTS)) == {"Alpha"}


def test_a_skipped_organization_says_why_in_its_log(mixed: Scenario) -> None:
    assert f"Bravo: {NOT_ENABLED}" in mixed.server.log_of(mixed.runs[USAGE], "extract_events[Bravo]").splitlines()


def test_the_failed_run_names_the_organizations_that_failed_and_no_other(mixed: Scenario) -> None:
    told = mixed.server.log_of(mixed.runs[USAGE], "report_failures")
    assert "2 failed; all others have landed" in told
    assert "- Charlie: " in told and "- Delta: " in told
    assert "- Alpha: " not in told and "- Bravo: " not in told


def test_a_refused_key_is_a_credential_problem_even_where_directory_insights_is_refused_too(
    mixed: Scenario,
) -> None:
    ((_, reason),) = mixed.outcomes(mixed.runs[USAGE])["Delta"]
    assert "401 Unauthorized: api key user not found" in reason
    assert "Connection 'jumpcloud_default'" in reason and "Region is where the account lives" in reason
    assert reason.endswith("(Directory Insights refused too: 403 Forbidden)")
    assert reason in mixed.server.log_of(mixed.runs[USAGE], "extract_events[Delta]")


def test_one_organization_that_fails_does_not_keep_the_others_directories_from_landing(mixed: Scenario) -> None:
    run = mixed.runs[DIRECTORY]
    assert (run.state, run.tries) == ("failed", 1)
    assert run.states == AROUND_DIRECTORY | {
        "extract_directory[Alpha]": "success",
        "extract_directory[Bravo]": "success",
        "extract_directory[Charlie]": "success",
        "extract_directory[Delta]": "failed",
        "report_failures": "failed",
    }
    assert set(mixed.landed("systemusers")) == {"Alpha", "Bravo", "Charlie"}
    told = mixed.server.log_of(run, "report_failures")
    assert "1 failed; all others have landed" in told and "- Delta: " in told


def test_people_are_told_of_the_failures_of_a_run_that_stays_failed(mixed: Scenario) -> None:
    for dag_id, failed in ((DIRECTORY, ["Delta"]), (USAGE, ["Usage of Charlie", "Usage of Delta"])):
        (news,) = mixed.told(dag_id)
        assert news["run"] == f"{dag_id} {mixed.runs[dag_id].run_id}"
        lines = news["message"].splitlines()
        assert [line.removeprefix("- ").partition(" could not be synced: ")[0] for line in lines] == failed
        assert KEY not in news["message"]


def test_the_warehouse_is_built_from_the_good_data_of_a_failed_run(mixed: Scenario) -> None:
    for run in mixed.runs.values():
        (event,) = mixed.server.asset_events(run)
        assert (event["name"], event["source_task_id"]) == (f"{run.dag_id}_landing", "record_run")
        after = mixed.server.warehouse_run_after(run)
        assert (after.run_type, after.state, after.states) == ("asset_triggered", "success", WAREHOUSE_STATES)
    assert sorted(mixed.query("select organization_id, usage_state, sync_status from organizations")) == [
        (ALPHA, "available", "ok"),
        (BRAVO, "unavailable", "ok"),
        (CHARLIE, "unknown", "failed"),
        (DELTA, "unknown", "failed"),
    ]
    refused = "select organization_id, count(*) from capabilities where kind = 'sync' and state = 'no' group by all"
    assert sorted(mixed.query(refused)) == [(BRAVO, 1), (DELTA, 7)]
    users = "select organization_id, username, usage_state, last_used_at from users where account_type = 'user'"
    noon = _last_day_before(mixed.runs[USAGE])[0] + DAY / 2
    assert sorted(mixed.query(users)) == [
        (ALPHA, "idle", "never_used", None),
        (ALPHA, "used", "used", noon),
        (BRAVO, "idle", "unknown", None),
        (BRAVO, "used", "unknown", None),
        (CHARLIE, "idle", "unknown", None),
        (CHARLIE, "used", "unknown", None),
    ]


@pytest.mark.parametrize(
    ("has_connection", "advice"),
    [
        (False, "There is no connection 'jumpcloud_default'. Create it under Admin > Connections"),
        (True, "The connections jumpcloud_default see no organization. Check the connection's Organization ids"),
    ],
    ids=["without connection", "without organization"],
)
def test_with_nothing_to_sync_both_runs_fail_and_say_what_to_do_and_no_warehouse_follows(
    begin: Begin, has_connection: bool, advice: str
) -> None:
    scenario = begin()
    if not has_connection:
        scenario.server.delete_connection(CONNECTION)
    before = scenario.server.run_ids(WAREHOUSE)
    scenario.run(DIRECTORY, USAGE)
    for run in scenario.runs.values():
        assert (run.state, run.tries) == ("failed", 1)
        assert advice in scenario.server.log_of(run, "list_organizations")
        assert scenario.server.asset_events(run) == []
    failed = {"list_organizations": "failed", "record_run": "skipped", "report_failures": "failed"}
    assert scenario.runs[DIRECTORY].states == failed | {
        "extract_directory": "upstream_failed",
        "notify": "success",
    }
    (news,) = scenario.told(DIRECTORY)
    assert "- JumpCloud could not be synced at all: " in news["message"] and advice in news["message"]
    assert scenario.runs[USAGE].states == failed | {
        "notify": "skipped",
        "plan_units": "success",
        "probe_directory_insights": "upstream_failed",
        "choose_usage_branch": "upstream_failed",
        "extract_events": "upstream_failed",
        "usage_unavailable": "upstream_failed",
        "choose_organizations_to_catch_up": "success",
        "catch_up": "skipped",
    }
    scenario.server.await_rest()
    assert scenario.server.run_ids(WAREHOUSE) == before
    assert [path.name for path in (scenario.data_root / "landing").iterdir()] == ["_notifications"]


def test_a_run_started_by_hand_lands_the_last_complete_interval_or_the_one_of_its_logical_date(
    begin: Begin,
) -> None:
    scenario = begin(organization(ALPHA))
    three_days_ago = scenario.today - 3 * DAY
    plain = scenario.server.end_of(USAGE, scenario.server.trigger(USAGE))
    logical_date = f"{(three_days_ago + DAY / 3).isoformat()}Z"
    dated = scenario.server.end_of(USAGE, scenario.server.trigger(USAGE, logical_date=logical_date))
    assert (plain.state, plain.data_interval) == ("success", None)
    assert (dated.state, dated.data_interval) == ("success", (three_days_ago - DAY, three_days_ago))
    assert scenario.landed(EVENTS) == {"Alpha": [_unit(three_days_ago - DAY), _unit(_last_day_before(plain)[0])]}


def test_a_backfill_lands_every_interval_of_every_organization(backfilled: Scenario) -> None:
    runs = [run for run in backfilled.runs.values() if run.dag_id == USAGE]
    days = [backfilled.today - number * DAY for number in (6, 5, 4, 3, 2)]
    assert [run.data_interval for run in runs] == [(day, day + DAY) for day in days]
    for run in runs:
        assert (run.run_type, run.state, run.tries) == ("backfill", "success", 1)
        assert run.states == AROUND_USAGE | {
            "extract_events[Alpha]": "success",
            "extract_events[Bravo]": "skipped",
            "catch_up": "skipped",
            "usage_unavailable": "skipped",
        }
    assert backfilled.landed(EVENTS) == {"Alpha": [_unit(day) for day in days]}


def test_the_warehouse_runs_one_at_a_time_and_once_more_after_every_landing(backfilled: Scenario) -> None:
    events = [event for run in backfilled.runs.values() for event in backfilled.server.asset_events(run)]
    assert Counter(event["name"] for event in events) == {f"{DIRECTORY}_landing": 1, f"{USAGE}_landing": 5}
    latest = max((backfilled.server.warehouse_run_after(run) for run in backfilled.runs.values()), key=_started_at)
    runs = [backfilled.server.end_of(WAREHOUSE, run_id) for run_id in backfilled.server.run_ids(WAREHOUSE)]
    assert {(run.run_type, run.state) for run in runs} == {("asset_triggered", "success")}
    assert all(one.ended_at <= other.started_at for one, other in pairwise(sorted(runs, key=_started_at)))
    assert backfilled.query("select run_id from warehouse_info") == [(latest.run_id,)]
    days = [backfilled.today - number * DAY for number in (6, 5, 4, 3, 2)]
    assert sorted(backfilled.query("select event_id from events")) == [(f"Alpha {day:%Y-%m-%d}",) for day in days]


def test_backfilling_the_same_days_again_changes_no_row_of_the_marts(backfilled: Scenario) -> None:
    before = _marts(backfilled)
    # Of the other organization each day was skipped.
    rows = {"users": 6, "application_users": 4, "usage_daily": 5, "usage_coverage": 10, "events": 5}
    assert {mart: len(before[mart]) for mart in rows} == rows
    warehouse_runs = backfilled.server.run_ids(WAREHOUSE)
    first, last = backfilled.today - 6 * DAY, backfilled.today - 2 * DAY
    run_ids = backfilled.server.backfill(USAGE, first, last, "--reprocess-behavior", "completed")
    assert run_ids == [run.run_id for run in backfilled.runs.values() if run.dag_id == USAGE]
    assert {backfilled.server.end_of(USAGE, run_id).state for run_id in run_ids} == {"success"}
    backfilled.server.await_rest()
    builds = set(backfilled.server.run_ids(WAREHOUSE)) - set(warehouse_runs)
    assert 1 <= len(builds) < len(run_ids)
    assert _marts(backfilled) == before


def _marts(scenario: Scenario) -> dict[str, list[str]]:
    """Every row of the marts, without the time at which it was read."""
    columns = {"usage_coverage": "* exclude (landed_at)", "events": "* exclude (_extracted_at)"}
    marts = (
        "organizations",
        "users",
        "applications",
        "application_users",
        "usage_daily",
        "usage_coverage",
        "events",
    )
    return {mart: sorted(map(str, scenario.query(f"select {columns.get(mart, '*')} from {mart}"))) for mart in marts}


def _started_at(run: EndedRun) -> datetime:
    return run.started_at


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def _last_day_before(run: EndedRun) -> tuple[datetime, datetime]:
    """The last UTC day that was over when the run was made."""
    today = run.queued_at.replace(hour=0, minute=0, second=0, microsecond=0)
    return today - DAY, today


def _unit(start: datetime) -> str:
    return f"{start:%Y%m%dT%H%M%SZ}_{start + DAY:%Y%m%dT%H%M%SZ}.parquet"
