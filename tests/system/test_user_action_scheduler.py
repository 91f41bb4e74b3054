"""jumpcloud_user_action under Airflow's scheduler: what waits for an approval, and what becomes of it.

Approvals are answered through the REST API, as the UI does. Under `dags test` they would wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import pytest

from jumpcloud_sandbox.client import Sandbox
from support.acting import (
    ADA,
    BOB,
    CYD,
    EVE,
    FAY,
    ORGANIZATION,
    params,
    user_of,
    world,
    writes,
)
from support.airflow_server import RUN_SECONDS, AirflowServer, EndedRun, ServerError
from support.connections import API_KEY
from support.pipeline import query

DAG, WAREHOUSE = "jumpcloud_user_action", "jumpcloud_warehouse"
TIMEOUT_HOURS = 48

Json = dict[str, Any]
T = TypeVar("T")
# `op` may edit runs, and is not among those who may approve.
PASSWORDS = {"admin": "admins-password", "op": "ops-password"}


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
        return self.server.end_of(DAG, run_id)

    def question(self, run_id: str) -> Json:
        """What the run asks, once it waits for the answer."""
        path = f"dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/approve"
        self.wait_for(lambda: self.server.get(path)["state"] == "awaiting_input", f"{run_id}: a question")
        # No person answers before the scheduler has heard that the process that asked has ended. Where it hears that
        # of a task that is queued again, it fails it.
        heard = f"TaskInstance Finished: dag_id={DAG}, task_id=approve, run_id={run_id},"
        log = self.home / "scheduler.log"
        self.wait_for(lambda: heard in log.read_text(errors="replace"), f"{run_id}: the end of the process that asked")
        return self.server.get(f"{path}/-1/hitlDetails")

    def answer(self, run_id: str, option: str) -> EndedRun:
        """Answer as somebody who is signed in, and wait for the end of the run."""
        self.say(run_id, option)
        return self.end_of(run_id)

    def say(self, run_id: str, option: str, server: AirflowServer | None = None) -> None:
        """Answer, as who `server` speaks as."""
        path = f"dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/approve/-1/hitlDetails"
        (server or self.server).call("PATCH", path, {"chosen_options": [option], "params_input": {}})

    def task(self, run_id: str, task_id: str) -> Json:
        return self.server.get(f"dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/{task_id}")

    def wait_for(self, probe: Callable[[], T | None], what: str) -> T:
        """The first answer of `probe` that is one."""
        deadline = time.monotonic() + RUN_SECONDS
        while not (answer := probe()):
            if time.monotonic() > deadline:
                raise ServerError(f"{what} does not come")
            time.sleep(0.25)
        return answer

    def clear(self, run_id: str, *task_ids: str) -> None:
        """Clear these tasks and none after them, and wait until they have been run again."""
        tries = {task_id: self.task(run_id, task_id)["try_number"] for task_id in task_ids}
        self.server.clear(DAG, run_id, *task_ids)
        for task_id, number in tries.items():
            self.wait_for(lambda t=task_id, n=number: _has_ended(self.task(run_id, t), after=n), f"another {task_id}")

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


def _has_ended(task: Json, *, after: int) -> bool:
    return task["try_number"] > after and task["state"] in ("success", "failed", "skipped")


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, sandbox_process: Sandbox
) -> Iterator[Acting]:
    home = tmp_path_factory.mktemp("acting")
    options = {
        "AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_BATCH_SIZE": "2",
        "AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_TIMEOUT_HOURS": str(TIMEOUT_HOURS),
        "AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVERS": "admin",
        "AIRFLOW__JUMPCLOUD_ELT__USAGE_SCHEDULE": "none",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "1",
    }
    sandbox_process.reset()
    with AirflowServer.start(home, migrated_database, home / "data", passwords=PASSWORDS, options=options) as server:
        server.set_connection(
            "jumpcloud_default",
            host=sandbox_process.url,
            password=API_KEY,
            extra='{"permission": "read_and_act"}',
        )
        for dag_id in (DAG, WAREHOUSE):
            server.unpause(dag_id)
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
    assert row["approved_by"] == "admin"


def test_a_batch_above_the_configured_size_asks_and_rejected_does_nothing(airflow: Acting) -> None:
    run_id = airflow.start("suspend", "ada", "bob", "eve")
    assert airflow.question(run_id)["subject"] == "JumpCloud: suspend, 3 users?"
    run = airflow.answer(run_id, "Reject")
    assert run.state == "success"
    assert (run.states["act"], run.states["sync_directory"], run.states["report"]) == ("skipped", "skipped", "success")
    assert writes(airflow.sandbox) == []
    recorded = airflow.recorded(run)
    assert {target: outcome for target, (outcome, _) in recorded.items()} == dict.fromkeys((ADA, BOB, EVE), "refused")
    assert all(message.startswith("rejected by ") for _, message in recorded.values())


def test_what_nobody_approves_in_time_is_refused_and_fails(airflow: Acting) -> None:
    run_id = airflow.start("delete", "fay")
    airflow.question(run_id)
    allowed = airflow.pass_deadline(run_id)
    assert timedelta(hours=TIMEOUT_HOURS) <= allowed < timedelta(hours=TIMEOUT_HOURS, minutes=10)
    run = airflow.end_of(run_id)
    assert (run.state, run.states["approve"], run.states["act"]) == ("failed", "failed", "upstream_failed")
    assert run.tasks["approve"].tries == 1
    assert writes(airflow.sandbox) == []
    ((outcome, message),) = airflow.recorded(run).values()
    assert (outcome, message) == ("refused", "nobody approved within 48 hours")
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
        CYD: "unchanged",
        BOB: "unchanged",
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


def test_a_killed_task_is_tried_again_and_told_as_it_ended(airflow: Acting) -> None:
    # Bob's call is made; while Eve is looked at, the worker is gone.
    look = {"method": "GET", "path_regex": f"/systemusers/{EVE}$", "times": 1}
    airflow.sandbox.set_faults({"match": look, "do": {"latency_ms": 60_000}})
    run_id = airflow.start("suspend", "bob", "eve")
    airflow.wait_for(lambda: writes(airflow.sandbox), "the call")
    os.kill(airflow.task(run_id, "act")["pid"], signal.SIGKILL)
    run = airflow.end_of(run_id)
    assert (run.state, run.tasks["act"].tries) == ("success", 2)
    assert sorted(path for _, path, _ in writes(airflow.sandbox)) == [
        f"/api/systemusers/{BOB}", f"/api/systemusers/{EVE}"
    ]  # fmt: skip
    assert "suspend: 1 done, 1 unchanged" in airflow.server.log_of(run, "report")
    airflow.server.await_rest()
    rows = query(
        airflow.server.data_root / "warehouse" / "jumpcloud.duckdb",
        "select target, outcome from user_actions where run_id = ? order by action_id, target",
        [run_id],
    )
    assert [tuple(row.values()) for row in rows] == [
        (BOB, "unknown"), (EVE, "unknown"), (BOB, "unchanged"), (EVE, "done")
    ]  # fmt: skip


def test_an_answer_is_to_the_question_that_was_asked(airflow: Acting) -> None:
    run_id = airflow.start("delete", "bob")
    assert BOB in airflow.question(run_id)["body"]
    organization = airflow.sandbox.organization(ORGANIZATION)
    organization["users"][1]["username"], organization["users"][5]["username"] = "robert", "bob"
    airflow.sandbox.set_organization(organization)
    airflow.clear(run_id, "plan_action")
    run = airflow.answer(run_id, "Approve")
    assert (run.state, run.states["act"]) == ("failed", "failed")
    assert "what was approved is another plan" in airflow.server.log_of(run, "act")
    assert writes(airflow.sandbox) == []
    # Asked again, Airflow would show that it is about Bob, while it is about Fay by now.
    airflow.clear(run_id, "approve")
    run = airflow.end_of(run_id)
    assert (run.state, run.states["approve"]) == ("failed", "failed")
    assert "Start a new run." in airflow.server.log_of(run, "approve")
    assert writes(airflow.sandbox) == []


def test_an_approval_that_was_only_marked_as_given_is_none(airflow: Acting) -> None:
    run_id = airflow.start("delete", "bob")
    airflow.question(run_id)
    path = f"dags/{DAG}/dagRuns/{quote(run_id)}/taskInstances/approve"
    airflow.server.call("PATCH", path, {"new_state": "success"})
    run = airflow.end_of(run_id)
    assert (run.state, run.states["approve"], run.states["act"]) == ("failed", "success", "failed")
    assert "this needs an approval, and none has been given" in airflow.server.log_of(run, "act")
    assert writes(airflow.sandbox) == []


def test_acting_again_on_the_same_approval_finds_it_so_already(airflow: Acting) -> None:
    run_id = airflow.start("delete", "bob")
    airflow.question(run_id)
    assert airflow.answer(run_id, "Approve").state == "success"
    airflow.clear(run_id, "act")
    assert airflow.end_of(run_id).state == "success"
    assert len(writes(airflow.sandbox)) == 1


def test_only_who_is_named_may_approve(airflow: Acting) -> None:
    run_id = airflow.start("delete", "bob")
    airflow.question(run_id)
    somebody = airflow.server.signed_in_as("op", PASSWORDS["op"])
    with pytest.raises(ServerError, match="403"):
        airflow.say(run_id, "Approve", somebody)
    assert airflow.task(run_id, "approve")["state"] == "awaiting_input"
    assert airflow.answer(run_id, "Reject").state == "success"
    assert writes(airflow.sandbox) == []


def test_bad_params_are_refused_when_the_run_is_started(airflow: Acting) -> None:
    with pytest.raises(ServerError, match=r"400 .*'explode' is not one of"):
        airflow.start("explode", "bob")
    assert airflow.sandbox.requests() == []
