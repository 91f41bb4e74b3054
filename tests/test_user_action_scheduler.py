"""jumpcloud_user_action under Airflow's scheduler: what waits for an approval, and what becomes of it.

Approvals are answered through the REST API, as the UI does. Under `dags test` they would wait for ever.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import airflow_server
from acting import ADA, BOB, CYD, EVE, FAY, ORGANIZATION, params, user_of, world, writes
from airflow_server import AirflowServer, EndedRun, ServerError
from connections import API_KEY
from pipeline import query
from sandbox.client import Sandbox

DAG, WAREHOUSE = "jumpcloud_user_action", "jumpcloud_warehouse"
TIMEOUT_HOURS = 48
# A busy machine is no failure.
PATIENCE_SECONDS = 600.0

Json = dict[str, Any]


@dataclass
class Acting:
    """A running Airflow, and the sandbox whose users it acts on."""

    server: AirflowServer
    sandbox: Sandbox
    home: Path

    def begin(self) -> None:
        """Everybody as in the beginning, and nothing running."""
        self.server.await_rest()
        self.sandbox.set_faults()
        self.sandbox.set_world(world())
        self.sandbox.clear_requests()

    def start(self, action: str, *targets: str, **more: Any) -> str:
        return self.server.trigger(DAG, **params(action, *targets, **more))

    def run(self, action: str, *targets: str, **more: Any) -> EndedRun:
        return self.end_of(self.start(action, *targets, **more))

    def end_of(self, run_id: str) -> EndedRun:
        return self.server.end_of(DAG, run_id, PATIENCE_SECONDS)

    def question(self, run_id: str) -> Json:
        """What the run asks, once it waits for the answer."""
        path = f"dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/approve"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.server.get(path)["state"] != "awaiting_input":
            if time.monotonic() > deadline:
                raise ServerError(f"{run_id} asks nothing: {self.server.get(path)}")
            time.sleep(0.25)
        return self.server.get(f"{path}/-1/hitlDetails")

    def answer(self, run_id: str, option: str) -> EndedRun:
        """Answer as somebody who is signed in, and wait for the end of the run."""
        path = f"dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/approve/-1/hitlDetails"
        self.server.call("PATCH", path, {"chosen_options": [option], "params_input": {}})
        return self.end_of(run_id)

    def pass_deadline(self, run_id: str) -> timedelta:
        """Let the time for an answer have passed; return how long it was."""
        database = self.home / "server.db"
        with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection, connection:
            where = "where dag_id = ? and run_id = ? and task_id = 'approve'"
            ((began, deadline),) = connection.execute(
                f"select start_date, trigger_timeout from task_instance {where}", [DAG, run_id]
            ).fetchall()
            connection.execute(f"update task_instance set trigger_timeout = start_date {where}", [DAG, run_id])
        return datetime.fromisoformat(deadline) - datetime.fromisoformat(began)

    def recorded(self, run: EndedRun) -> dict[str, tuple[str, str]]:
        """What the published warehouse says of a run: outcome and message by target."""
        self.server.await_rest()
        rows = query(
            self.server.data_root / "warehouse" / "jumpcloud.duckdb",
            "select target, outcome, message from user_actions where run_id = ?",
            [run.run_id],
        )
        return {row["target"]: (row["outcome"], row["message"]) for row in rows}


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, sandbox_process: Sandbox
) -> Iterator[Acting]:
    home = tmp_path_factory.mktemp("acting")
    options = {
        "AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_BATCH_SIZE": "2",
        "AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_TIMEOUT_HOURS": str(TIMEOUT_HOURS),
        "AIRFLOW__JUMPCLOUD_ELT__USAGE_SCHEDULE": "none",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
    }
    sandbox_process.reset()
    with AirflowServer.start(home, migrated_database, home / "data", options=options) as server:
        server.set_connection(
            "jumpcloud_default",
            host=sandbox_process.url,
            password=API_KEY,
            extra='{"permission": "read_and_act"}',
        )
        for dag_id in (DAG, WAREHOUSE):
            server.unpause(dag_id)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(airflow_server, "RUN_SECONDS", PATIENCE_SECONDS)
            yield Acting(server, sandbox_process, home)
    sandbox_process.reset()


@pytest.fixture(autouse=True)
def fresh(airflow: Acting) -> None:
    airflow.begin()


def test_one_user_is_acted_on_without_asking_and_the_warehouse_shows_it(airflow: Acting) -> None:
    run = airflow.run("suspend", "bob")
    assert run.state == "success"
    assert run.states == {
        "plan_action": "success",
        "choose_path": "success",
        "approve": "skipped",
        "act": "success",
        "sync_directory": "success",
        "record_outcomes": "success",
        "report": "success",
    }
    assert [(method, path) for method, path, _ in writes(airflow.sandbox)] == [("PUT", f"/api/systemusers/{BOB}")]
    assert airflow.recorded(run) == {BOB: ("done", "done")}
    published = airflow.server.data_root / "warehouse" / "jumpcloud.duckdb"
    assert query(published, "select status from users where user_id = ?", [BOB]) == [{"status": "suspended"}]


def test_a_dry_run_calls_nothing_and_asks_nobody(airflow: Acting) -> None:
    run = airflow.run("delete", "bob", "eve", dry_run=True)
    assert (run.state, run.states["approve"], run.states["sync_directory"]) == ("success", "skipped", "skipped")
    assert writes(airflow.sandbox) == []
    assert '"method":"DELETE"' in airflow.server.log_of(run, "plan_action")


def test_an_approved_deletion_is_done_and_says_who_approved(airflow: Acting) -> None:
    run_id = airflow.start("delete", "bob", "eve")
    question = airflow.question(run_id)
    assert question["subject"] == "JumpCloud: delete, 2 users?"
    assert question["options"] == ["Approve", "Reject"] and question["defaults"] is None
    for text in (BOB, "bob@x.example", EVE, "eve@x.example", ORGANIZATION):
        assert text in question["body"]
    assert writes(airflow.sandbox) == []
    run = airflow.answer(run_id, "Approve")
    assert (run.state, run.states["approve"], run.states["act"]) == ("success", "success", "success")
    assert user_of(airflow.sandbox, BOB) is None and user_of(airflow.sandbox, EVE) is None
    assert airflow.recorded(run) == {BOB: ("done", "done"), EVE: ("done", "done")}
    published = airflow.server.data_root / "warehouse" / "jumpcloud.duckdb"
    (row,) = query(published, "select distinct approved_by from user_actions where run_id = ?", [run_id])
    assert row["approved_by"]


def test_a_batch_above_the_configured_size_asks_and_rejected_does_nothing(airflow: Acting) -> None:
    run_id = airflow.start("suspend", "ada", "bob", "eve")
    assert airflow.question(run_id)["subject"] == "JumpCloud: suspend, 3 users?"
    run = airflow.answer(run_id, "Reject")
    assert run.state == "success"
    assert (run.states["act"], run.states["sync_directory"], run.states["report"]) == ("skipped", "skipped", "success")
    assert writes(airflow.sandbox) == []
    recorded = airflow.recorded(run)
    assert {target: outcome for target, (outcome, _) in recorded.items()} == dict.fromkeys((ADA, BOB, EVE), "not_done")
    assert all(message.startswith("rejected by ") for _, message in recorded.values())


def test_what_nobody_approves_in_time_is_not_done_and_fails(airflow: Acting) -> None:
    run_id = airflow.start("delete", "fay")
    airflow.question(run_id)
    allowed = airflow.pass_deadline(run_id)
    assert timedelta(hours=TIMEOUT_HOURS) <= allowed < timedelta(hours=TIMEOUT_HOURS, minutes=10)
    run = airflow.end_of(run_id)
    assert (run.state, run.states["approve"], run.states["act"]) == ("failed", "failed", "upstream_failed")
    assert run.tasks["approve"].tries == 1
    assert writes(airflow.sandbox) == []
    ((outcome, message),) = airflow.recorded(run).values()
    assert (outcome, message) == ("not_done", "nobody approved within 48 hours")
    assert "nobody approved within 48 hours" in airflow.server.log_of(run, "report")


def test_a_refused_run_names_everything_and_calls_nothing(airflow: Acting) -> None:
    run = airflow.run("suspend", "nobody", "nobody.else@x.example")
    assert run.state == "failed"
    assert run.states["act"] == "upstream_failed"
    told = airflow.server.log_of(run, "report")
    assert "'nobody' given" in told and "'nobody.else@x.example' given" in told
    assert writes(airflow.sandbox) == []


def test_a_partial_batch_fails_naming_everybody_and_is_finished_by_another_run(airflow: Acting) -> None:
    match = {"method": "PUT", "path_regex": f"/{FAY}$"}
    airflow.sandbox.set_faults({"match": match, "do": {"status": 400, "body": {"message": "not this one"}}})
    run = airflow.run("suspend", "fay", "cyd", "bob")
    assert (run.state, run.states["act"], run.states["sync_directory"]) == ("failed", "failed", "success")
    assert run.tasks["act"].tries == 1
    told = airflow.server.log_of(run, "report")
    assert f"- failed: {FAY} (fay)" in told and "not this one" in told and f"- done: {BOB} (bob)" in told
    airflow.sandbox.set_faults()
    run = airflow.run("suspend", "fay", "cyd", "bob")
    assert run.state == "success"
    recorded = airflow.recorded(run)
    assert {target: outcome for target, (outcome, _) in recorded.items()} == {
        FAY: "done",
        CYD: "already_so",
        BOB: "already_so",
    }


def test_a_run_that_waits_for_an_approval_does_not_hold_up_another(airflow: Acting) -> None:
    waiting = airflow.start("delete", "bob")
    airflow.question(waiting)
    assert airflow.run("suspend", "eve").state == "success"
    assert [path for _, path, _ in writes(airflow.sandbox)] == [f"/api/systemusers/{EVE}"]
    assert airflow.answer(waiting, "Approve").state == "success"
    assert user_of(airflow.sandbox, BOB) is None


def test_the_same_started_twice_is_called_once(airflow: Acting) -> None:
    run_ids = [airflow.start("suspend", "bob") for _ in range(2)]
    runs = [airflow.end_of(run_id) for run_id in run_ids]
    assert [run.state for run in runs] == ["success", "success"]
    assert len(writes(airflow.sandbox)) == 1


def test_bad_params_are_refused_when_the_run_is_started(airflow: Acting) -> None:
    with pytest.raises(ServerError, match=r"400 .*'explode' is not one of"):
        airflow.start("explode", "bob")
    assert airflow.sandbox.requests() == []
