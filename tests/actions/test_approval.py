"""Which plans of jumpcloud_user_action need an approval, and what an approval allows."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.exceptions import HITLTimeoutError

from jumpcloud_elt.core.airflow_compat import AirflowFailException, AirflowSkipException, DownstreamTasksSkipped
from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.landing import action_log
from jumpcloud_elt.tasks import user_action
from jumpcloud_sandbox.client import Sandbox
from support.acting import (
    ADA,
    BOB,
    DAG_ID,
    EMPTY,
    EVE,
    FAY,
    ORGANIZATION,
    REJECTED,
    STAFF,
    Json,
    answer_to,
    params,
    run_action,
    user_of,
    writes,
)
from support.paths import DAGS

# What a task raises to wait for an answer: before Airflow 3.3 the triggerer waits for it.
WAITS = {"TaskAwaitingInput", "TaskDeferred"}

pytestmark = pytest.mark.usefixtures("acting")


def ended(planned: Json, answer: Json | None) -> tuple[str, str, str]:
    """Target, outcome and message of the one user of a run, once the run's outcomes are recorded."""
    with contextlib.suppress(AirflowSkipException):
        user_action.record_outcomes(planned, answer, ORGANIZATION, "run")
    attempt, landing = planned["attempt"]["action_id"], read_settings().landing
    rows = [row for row in action_log.read_run(landing, ORGANIZATION, "run") if row["action_id"] == attempt]
    [row] = action_log.latest(rows).values()
    return row["target"], row["outcome"], row["message"]


def test_deletions_and_large_batches_ask_naming_everybody(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_BATCH_SIZE", "2")
    assert run_action("two", params("suspend", "bob", "eve")).path == "act"
    ran = run_action("so already", params("suspend", "bob", "eve", "ada"))
    assert (ran.path, ran.outcomes[ADA]) == ("act", "done")
    ran = run_action("three", params("unsuspend", "ada", "bob", "eve"))
    assert ran.path == "approve" and ran.planned is not None
    assert ran.planned["subject"] == "JumpCloud: unsuspend, 3 users?"
    for text in (ADA, BOB, EVE, "eve@x.example", "Anna Admin", ORGANIZATION):
        assert text in ran.planned["body"]
    assert run_action("one", params("delete", "bob")).path == "approve"
    assert run_action("dry", params("delete", "bob", dry_run=True)).path == "act"
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_BATCH_SIZE", "0")
    assert run_action("any", params("suspend", "fay")).path == "approve"


@pytest.mark.parametrize(("answer", "why"), [(REJECTED, "rejected by Olga"), (None, "nobody approved within 24 hours")])
def test_without_an_approval_nothing_is_done_and_that_is_recorded(
    answer: Json | None, why: str, sandbox: Sandbox
) -> None:
    ran = run_action("run", params("delete", "bob"), answer)
    assert writes(sandbox) == []
    assert ran.outcomes == {BOB: "refused"}
    assert ran.message(BOB) == why
    # Somebody decided so: no failure. Nobody did: one.
    assert ("report" in ran.errors) == (answer is None) == ran.rows[-1]["is_unfinished"]


@pytest.mark.parametrize("given", [None, {}, REJECTED, {"chosen_options": []}])
def test_the_task_itself_refuses_to_act_without_an_approval(given: Json | None, sandbox: Sandbox) -> None:
    planned = user_action.plan_action(params("delete", "bob"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    answer = answer_to(planned, given) if given else given
    # As where the task `approve` was marked as successful by hand, and the plan was tampered with.
    for plan in (planned, {**planned, "needs_approval": False}):
        with pytest.raises(AirflowFailException, match="needs an approval, and none has been given"):
            user_action.act(plan, answer, 1)
    assert writes(sandbox) == []
    assert ended(planned, answer) == (BOB, "refused", "this needs an approval, and none has been given.")


def test_an_approval_is_of_what_was_shown_and_of_nothing_else(sandbox: Sandbox) -> None:
    run_of = {"dag_id": DAG_ID, "run_id": "run"}
    answer = answer_to(user_action.plan_action(params("delete", "bob"), run_of, "Anna Admin"))
    # The user name has gone to somebody else, and plan_action is cleared, before or after the answer.
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][1]["username"], organization["users"][5]["username"] = "robert", "bob"
    sandbox.set_organization(organization)
    planned = user_action.plan_action(params("delete", "bob"), run_of, "Anna Admin")
    with pytest.raises(AirflowFailException, match=r"what was approved is another plan\. Start a new run"):
        user_action.act(planned, answer, 1)
    assert writes(sandbox) == []
    assert ended(planned, answer) == (FAY, "refused", "what was approved is another plan. Start a new run.")
    assert user_action.act(planned, answer_to(planned), 1) == {"done": 1}
    assert user_of(sandbox, FAY) is None and user_of(sandbox, BOB) is not None


@pytest.mark.parametrize(
    "tampered", [{"fields": {"department": "Law"}}, {"group_id": EMPTY}, {"group_name": "Empty"}], ids=str
)
def test_an_approval_is_not_of_other_fields_or_another_group(
    tampered: Json, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_BATCH_SIZE", "0")
    given_params = params("add_to_group", "eve", group=STAFF)
    planned = user_action.plan_action(given_params, {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    with pytest.raises(AirflowFailException, match="what was approved is another plan"):
        user_action.act({**planned, **tampered}, answer_to(planned), 1)
    assert writes(sandbox) == []


def test_an_approval_is_good_for_as_long_as_one_is_waited_for(sandbox: Sandbox) -> None:
    planned = user_action.plan_action(params("delete", "bob"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    late = answer_to(planned, ago=timedelta(hours=24, minutes=1))
    with pytest.raises(AirflowFailException, match=r"the approval is older than 24 hours\. Start a new run"):
        user_action.act(planned, late, 1)
    assert writes(sandbox) == []
    assert ended(planned, late) == (BOB, "refused", "the approval is older than 24 hours. Start a new run.")
    assert user_action.act(planned, answer_to(planned, ago=timedelta(hours=23, minutes=59)), 2) == {"done": 1}


@pytest.mark.parametrize("option", ["Approve", "Reject", None])
def test_an_approval_leaves_its_answer_whatever_it_is(option: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    approve = DagBag(DAGS / f"{DAG_ID}.py").dags[DAG_ID].get_task("approve")
    pushed: Json = {}

    class Instance:
        map_index = -1

        id = "1"
        try_number = 1

        def xcom_push(self, key: str, value: Any) -> None:
            pushed[key] = value

        def xcom_pull(self, task_ids: str, key: str) -> Any:
            return {"approve": pushed}[task_ids].get(key)

    context = {"ti": Instance(), "task": approve, "task_instance": Instance()}
    monkeypatch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **_: None)
    approve.subject, approve.body = "Delete Bob?", "Bob, whom you know"
    with pytest.raises(BaseException, check=lambda raised: type(raised).__name__ in WAITS):  # noqa: B017
        approve.execute(context)
    monkeypatch.setattr(Instance, "try_number", 2)
    with pytest.raises(AirflowFailException, match="Airflow shows the question of the first try"):
        approve.execute(context)
    # When somebody has answered, Airflow renders both anew.
    approve.subject, approve.body = "Delete Fay?", "Fay, whom you know"
    user = {"id": "olga", "name": "Olga"}
    event: Json = {"chosen_options": [option], "params_input": {}, "responded_by_user": user,
                   "responded_at": datetime(2026, 1, 1, tzinfo=UTC)}  # fmt: skip
    if option == "Approve":
        approve.execute_complete(context, event)
    elif option == "Reject":
        with pytest.raises(DownstreamTasksSkipped):
            approve.execute_complete(context, event)
    else:
        with pytest.raises(HITLTimeoutError):
            approve.execute_complete(context, {"error": "The time has passed.", "error_type": "timeout"})
    answer = {
        "chosen_options": [option],
        "responded_by_user": user,
        "responded_at": "2026-01-01T00:00:00+00:00",
        "question": hashlib.sha256(b"Delete Bob?\nBob, whom you know").hexdigest(),
    }
    assert pushed.get("answer") == (answer if option else None)


def test_who_may_approve_and_how_long_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    path = DAGS / f"{DAG_ID}.py"
    approve = DagBag(path).dags[DAG_ID].get_task("approve")
    assert (approve.response_timeout, approve.assigned_users) == (timedelta(hours=24), None)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVERS", "anna, omar")
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_TIMEOUT_HOURS", "0.5")
    approve = DagBag(path).dags[DAG_ID].get_task("approve")
    assert approve.response_timeout == timedelta(minutes=30)
    assert approve.assigned_users == [{"id": "anna", "name": "anna"}, {"id": "omar", "name": "omar"}]
