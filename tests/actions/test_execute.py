"""The calls of jumpcloud_user_action: one for each user, none twice, and what follows from every answer."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.landing import action_log
from jumpcloud_elt.tasks import user_action
from jumpcloud_sandbox.client import Sandbox
from support.acting import (
    ADA,
    APPROVED,
    BOB,
    CASES,
    CYD,
    DAG_ID,
    EVE,
    FAY,
    NEW,
    ORGANIZATION,
    OTHER,
    RUN_OF,
    USERS,
    Json,
    answer_to,
    every_action,
    fault_for,
    given,
    params,
    run_action,
    user_id,
    world,
    writes,
)
from support.connections import API_KEY, connection_json
from support.paths import DAGS
from support.pipeline import query, run_warehouse

pytestmark = pytest.mark.usefixtures("acting")


@every_action
def test_an_action_is_done_with_one_call_and_recorded(action: str, sandbox: Sandbox) -> None:
    case, _, call = CASES[action]
    ran = run_action("run", given(action, case), APPROVED)
    assert ran.errors == {}
    assert [(method, path) for method, path, _ in writes(sandbox)] == [call]
    target = "Grace.Hopper" if action == "create" else case["targets"][0]
    assert ran.outcomes == {target: "done"}
    assert [row["outcome"] for row in ran.rows] == ["asked", "started", "done"]
    assert {row["requested_by"] for row in ran.rows} == {"Anna Admin"}
    assert {(row["dag_id"], row["run_id"], row["is_dry_run"]) for row in ran.rows} == {(DAG_ID, "run", False)}
    assert {row["approved_by"] for row in ran.rows[1:]} == {"Olga" if action == "delete" else None}
    assert call[1] in ran.rows[0]["request"] and ran.rows[0]["request"] == ran.rows[-1]["request"]


@every_action
def test_what_is_so_already_is_not_called_again_and_says_so(action: str, sandbox: Sandbox) -> None:
    _, case, _ = CASES[action]
    if action == "delete":
        run_action("before", given(action, case), APPROVED)
        sandbox.clear_requests()
    ran = run_action("run", given(action, case))
    assert (ran.errors, ran.path) == ({}, "act")
    assert writes(sandbox) == []
    assert list(ran.outcomes.values()) == ["unchanged"]


@every_action
def test_running_it_again_calls_nothing(action: str, sandbox: Sandbox) -> None:
    case, _, call = CASES[action]
    for run_id in ("first", "second"):
        ran = run_action(run_id, given(action, case), APPROVED)
        assert ran.errors == {}
    assert list(ran.outcomes.values()) == ["unchanged"]
    assert [(method, path) for method, path, _ in writes(sandbox)] == [call]


@every_action
@pytest.mark.parametrize("acted", [True, False])
def test_a_retry_after_a_killed_try_looks_first(action: str, acted: bool, sandbox: Sandbox) -> None:
    case, _, call = CASES[action]
    run_of = {"dag_id": DAG_ID, "run_id": "run"}
    planned = user_action.plan_action(given(action, case), run_of, "Anna Admin")
    match = {"method": call[0], "path_regex": f"^{call[1]}$"}
    # Every answer is lost, until the worker is too.
    sandbox.set_faults({"match": match, "do": {"drop_connection": True, "acted": acted}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jumpcloud_elt.api.retry.RetryPolicy.call", _die)
        with pytest.raises(KeyboardInterrupt):
            user_action.act(planned, answer_to(planned), 1)
    sandbox.set_faults()
    user_action.act(planned, answer_to(planned), 2)
    assert len(writes(sandbox)) == (1 if acted else 2)


def _die(policy: Any, once: Any, attempts: int | None = None) -> Any:
    """Answers reads; at the first write the worker is gone, right after the request went out."""
    try:
        return once()
    except Exception as error:
        raise KeyboardInterrupt from error


@every_action
def test_two_that_were_planned_beside_each_other_and_act_in_turn_call_once(action: str, sandbox: Sandbox) -> None:
    asked_for = given(action, CASES[action][0])
    plans = [user_action.plan_action(asked_for, {**RUN_OF, "run_id": name}, "Anna Admin") for name in ("a", "b")]
    assert [user_action.act(plan, answer_to(plan), 1) for plan in plans] == [{"done": 1}, {"unchanged": 1}]
    assert [(method, path) for method, path, _ in writes(sandbox)] == [CASES[action][2]]


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"permission": "read"}, "Permission: 'read' given"),
        ({"permission": "read_and_act", "organization_ids": OTHER}, f"do not name {ORGANIZATION}; allowed: {OTHER}"),
    ],
)
def test_a_connection_that_was_changed_while_somebody_was_asked_calls_nobody(
    extra: Json, told: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = user_action.plan_action(params("suspend", "bob"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    sandbox.clear_requests()
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY, extra=extra))
    with pytest.raises(AirflowFailException, match=told):
        user_action.act(planned, None, 1)
    assert sandbox.requests() == []


def test_only_who_was_planned_is_acted_on(sandbox: Sandbox) -> None:
    planned = user_action.plan_action(params("suspend", "bob", "cyd"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna")
    organization = sandbox.organization(ORGANIZATION)
    # Since then: Cyd, of whom nothing was to be done, is active again, and somebody else has become "bob".
    organization["users"][2] |= {"state": "ACTIVATED", "suspended": False}
    organization["users"][1]["username"], organization["users"][4]["username"] = "robert", "bob"
    sandbox.set_organization(organization)
    assert user_action.act(planned, None, 1) == {"unchanged": 1, "done": 1}
    assert [path for _, path, _ in writes(sandbox)] == [f"{USERS}/{BOB}"]


def test_a_user_who_has_gone_since_is_not_acted_on(sandbox: Sandbox) -> None:
    planned = user_action.plan_action(params("suspend", "bob", "eve"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna")
    organization = sandbox.organization(ORGANIZATION)
    del organization["users"][1]
    sandbox.set_organization(organization)
    with pytest.raises(AirflowFailException, match=f"refused: {BOB} .*is no longer a user of the organization"):
        user_action.act(planned, None, 1)
    assert [path for _, path, _ in writes(sandbox)] == [f"{USERS}/{EVE}"]


def test_a_partial_batch_says_what_was_done_and_what_was_not_and_is_finished_by_running_it_again(
    sandbox: Sandbox,
) -> None:
    refused = {"status": 400, "body": {"message": "not this one"}}
    sandbox.set_faults(fault_for(EVE, **refused), fault_for(FAY, status=503))
    asked_for = params("suspend", "ada", "bob", "cyd", "eve", "fay")
    ran = run_action("run", asked_for)
    wanted = {ADA: "done", BOB: "done", CYD: "unchanged", EVE: "failed", FAY: "unknown"}
    assert ran.outcomes == wanted
    for told in (ran.errors["act"], ran.errors["report"]):
        assert f"- failed: {EVE} (eve): PUT /api/systemusers/{EVE}" in told and "400 not this one" in told
        assert f"- unknown: {FAY} (fay)" in told and f"- done: {ADA} (ada)" in told
        assert told.splitlines()[-1] == "Running it again with the same params does what is left, and nothing twice."
    assert ran.errors["report"].splitlines()[0] == "suspend: 2 done, 1 failed, 1 unchanged, 1 unknown"
    # What was done is synced all the same.
    assert "sync_directory" not in ran.errors and "sync_directory" not in ran.skipped
    sandbox.set_faults()
    sandbox.clear_requests()
    ran = run_action("again", asked_for)
    assert ran.errors == {}
    assert ran.outcomes == {**dict.fromkeys((ADA, BOB, CYD), "unchanged"), EVE: "done", FAY: "done"}
    assert [path for _, path, _ in writes(sandbox)] == [f"{USERS}/{EVE}", f"{USERS}/{FAY}"]


def test_a_partial_deletion_is_finished_by_running_it_again(sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"method": "DELETE", "path_regex": f"/{EVE}$"}, "do": {"status": 400}})
    asked_for = params("delete", "bob", "eve", FAY)
    assert run_action("run", asked_for, APPROVED).outcomes == {BOB: "done", EVE: "failed", FAY: "done"}
    sandbox.set_faults()
    ran = run_action("again", asked_for, APPROVED)
    assert ran.errors == {}
    assert ran.outcomes == {"bob": "unchanged", EVE: "done", FAY: "unchanged"}
    # Only of whom this package has deleted it can tell.
    assert "'nobody' given" in run_action("nobody", params("delete", "nobody")).errors["plan_action"]


def test_somebody_who_was_deleted_meanwhile_does_not_keep_the_rest_from_being_finished(sandbox: Sandbox) -> None:
    asked_for = params("suspend", "bob", "eve", "fay@x.example")
    sandbox.set_faults(fault_for(EVE, status=400))
    assert run_action("run", asked_for).outcomes == {BOB: "done", EVE: "failed", FAY: "done"}
    sandbox.set_faults()
    organization = sandbox.organization(ORGANIZATION)
    organization["users"] = [user for user in organization["users"] if user["_id"] != FAY]
    sandbox.set_organization(organization)
    ran = run_action("again", asked_for)
    assert ran.outcomes == {BOB: "unchanged", EVE: "done", "fay@x.example": "refused"}
    assert "- refused: fay@x.example: is no longer a user of the organization" in ran.errors["report"]
    # Deleted by somebody else, who was to be deleted: that is so.
    ran = run_action("deleted", params("delete", FAY, "bob"), APPROVED)
    assert (ran.errors, ran.outcomes) == ({}, {FAY: "unchanged", BOB: "done"})
    # Of whom no action has ever been about, it may as well be a mistake.
    ran = run_action("mistaken", params("delete", user_id(99), "eve"), APPROVED)
    assert f"{user_id(99)!r} given, whom organization" in ran.errors["plan_action"]


def test_somebody_who_could_not_be_deleted_and_has_another_name_now_is_not_gone(sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"method": "DELETE"}, "do": {"status": 400}})
    assert run_action("run", params("delete", "bob"), APPROVED).outcomes == {BOB: "failed"}
    sandbox.set_faults()
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][1]["username"] = "robert"
    sandbox.set_organization(organization)
    assert "'bob' given, whom organization" in run_action("again", params("delete", "bob")).errors["plan_action"]


@pytest.mark.parametrize(("status", "outcome"), [(503, "unknown"), (401, "failed"), (429, "failed")])
def test_when_jumpcloud_is_away_or_the_key_ends_the_rest_is_not_tried(
    status: int, outcome: str, sandbox: Sandbox
) -> None:
    sandbox.set_faults({"match": {"method": "PUT"}, "do": {"status": status}})
    ran = run_action("run", params("suspend", "ada", "bob", "dan", "eve", "fay"))
    assert list(ran.outcomes.values()) == [outcome] * 3 + ["skipped"] * 2
    assert ran.message(FAY).startswith("not tried: JumpCloud did not answer before: PUT")
    assert ran.errors["report"].splitlines()[-1].startswith("Running it again with the same params does what is left")


@pytest.mark.parametrize(
    ("do", "outcome", "of_the_fourth"),
    [
        ({"status": 503}, "skipped", "skipped"),
        ({"status": 429}, "skipped", "skipped"),
        ({"drop_connection": True}, "skipped", "skipped"),
        ({"status": 401}, "refused", "skipped"),
        ({"status": 403}, "refused", "refused"),
    ],
    ids=str,
)
def test_who_cannot_be_looked_at_is_not_called_and_left_for_another_run(
    do: Json, outcome: str, of_the_fourth: str, sandbox: Sandbox
) -> None:
    planned = user_action.plan_action(params("suspend", "ada", "bob", "eve", "fay"), RUN_OF, "Anna Admin")
    sandbox.set_faults({"match": {"method": "GET", "path_regex": "systemusers/"}, "do": do})
    with pytest.raises(AirflowFailException, match="Running it again with the same params does what is left"):
        user_action.act(planned, None, 1)
    assert writes(sandbox) == []
    rows = action_log.read_run(read_settings().landing, ORGANIZATION, "run")[-4:]
    assert [row["outcome"] for row in rows] == [outcome] * 3 + [of_the_fourth]
    assert rows[0]["message"].startswith("not called: GET")
    assert {row["is_unfinished"] for row in rows} == {True}


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(400, "failed"), (401, "failed"), (403, "failed"), (404, "failed"), (409, "failed"), (500, "unknown")],
)
@pytest.mark.parametrize("action", [one for one in ACTIONS if one != "create"])
def test_every_documented_error_is_recorded_and_fails_the_run(
    action: str, status: int, outcome: str, sandbox: Sandbox
) -> None:
    case, _, (method, path) = CASES[action]
    body = {"message": "words of its own"}
    sandbox.set_faults({"match": {"method": method, "path_regex": f"^{path}$"}, "do": {"status": status, "body": body}})
    ran = run_action("run", given(action, case), APPROVED)
    if (action, status) == ("delete", 404):
        assert ran.outcomes == {BOB: "unchanged"}
        return
    (found,) = ran.outcomes.values()
    assert found == outcome
    assert f"{status} words of its own" in ran.errors["act"]
    assert "act" in ran.errors and "report" in ran.errors


@pytest.mark.parametrize(("status", "outcome"), [(400, "failed"), (401, "failed"), (403, "failed"), (500, "unknown")])
def test_every_documented_error_of_create_is_recorded(status: int, outcome: str, sandbox: Sandbox) -> None:
    details = {"code": 400, "message": "words of its own", "status": "INVALID_ARGUMENT"}
    sandbox.set_faults(
        {"match": {"method": "POST", "path_regex": "systemusers$"}, "do": {"status": status, "body": details}}
    )
    ran = run_action("run", params("create", fields=NEW))
    assert ran.outcomes == {"Grace.Hopper": outcome}
    assert f"{status} words of its own" in ran.errors["act"]


@every_action
@pytest.mark.parametrize(
    ("faults", "outcome"),
    [
        ([{"status": 302, "redirect_to": "/api/organizations"}], "unknown"),
        ([{"status": 303, "redirect_to": "/api/organizations", "acted": True}], "done"),
        ([{"status": 503}, {"status": 429}], "unknown"),
        ([{"status": 429}], "failed"),
        ([{"status": 504}, {"status": 400}], "unknown"),
    ],
    ids=str,
)
def test_what_may_have_happened_is_unknown_and_synced(
    action: str, faults: list[Json], outcome: str, sandbox: Sandbox
) -> None:
    case, _, (method, path) = CASES[action]
    match = {"method": method, "path_regex": f"^{path}$"}
    # Each once, the last for ever.
    rules = [{"match": {**match, "times": 1}, "do": do} for do in faults[:-1]]
    sandbox.set_faults(*rules, {"match": match, "do": faults[-1]})
    ran = run_action("run", given(action, case), APPROVED)
    assert list(ran.outcomes.values()) == [outcome]
    assert ("sync_directory" in ran.skipped) == (outcome == "failed")
    assert ("report" in ran.errors) == (outcome != "done")


@pytest.mark.parametrize("body", [{}, {"ok": True}, [], None])
@pytest.mark.parametrize("action", ["create", "suspend", "unsuspend", "update"])
def test_an_answer_that_is_no_user_leaves_open_what_has_happened(action: str, body: Any, sandbox: Sandbox) -> None:
    case, _, (method, path) = CASES[action]
    fault = {"status": 200, "body": body, "acted": True}
    sandbox.set_faults({"match": {"method": method, "path_regex": f"^{path}$"}, "do": fault})
    ran = run_action("run", given(action, case))
    assert list(ran.outcomes.values()) == ["unknown"]
    assert "sync_directory" not in ran.skipped and "It may have happened" in ran.errors["act"]
    sandbox.set_faults()
    again = run_action("again", given(action, case))
    assert (again.errors, list(again.outcomes.values())) == ({}, ["unchanged"])
    assert len(writes(sandbox)) == 1


def test_days_without_a_second_factor_are_given_once(sandbox: Sandbox) -> None:
    for run_id, outcome in (("first", "done"), ("second", "unchanged")):
        ran = run_action(run_id, params("reset_mfa", "fay", fields={"exclusionDays": 3}))
        assert (ran.errors, list(ran.outcomes.values())) == ({}, [outcome])
    assert run_action("more", params("reset_mfa", "fay", fields={"exclusionDays": 5})).outcomes == {FAY: "done"}
    assert len(writes(sandbox)) == 2


def test_two_runs_of_the_same_beside_each_other_do_no_harm(sandbox: Sandbox) -> None:
    for action in ACTIONS:
        sandbox.set_world(world())
        run_of = [{"dag_id": DAG_ID, "run_id": f"{action} {number}"} for number in range(2)]
        case = CASES[action][0]
        plans = [user_action.plan_action(given(action, case), one, "Anna Admin") for one in run_of]
        sandbox.set_latency(10)
        counts: list[dict[str, int]] = []

        def start(plan: Json, counts: list[dict[str, int]] = counts) -> None:
            counts.append(user_action.act(plan, answer_to(plan), 1))

        threads = [threading.Thread(target=start, args=[plan]) for plan in plans]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sandbox.set_latency(0)
        assert len(counts) == 2, action
        assert all(set(one) <= {"done", "unchanged"} for one in counts), (action, counts)
        usernames = [user["username"] for user in sandbox.organization(ORGANIZATION)["users"]]
        assert len(usernames) == len(set(usernames))


@pytest.mark.usefixtures("airflow_database")
def test_the_dag_acts_when_told_to_and_only_shows_when_not(acting: Settings, sandbox: Sandbox) -> None:
    dag = DagBag(DAGS / f"{DAG_ID}.py").dags[DAG_ID]
    conf = {"organization_id": ORGANIZATION, "action": "suspend", "targets": ["bob"]}
    dry = dag.test(run_conf=conf)
    assert (dry.state, writes(sandbox)) == ("success", [])
    assert dry.get_task_instance("approve").state == dry.get_task_instance("sync_directory").state == "skipped"
    real = dag.test(run_conf={**conf, "dry_run": False})
    assert real.state == "success"
    assert {one.task_id: one.state for one in real.get_task_instances()} == {
        **dict.fromkeys(
            ("plan_action", "choose_path", "act", "sync_directory", "record_outcomes", "report"), "success"
        ),
        "approve": "skipped",
    }
    assert [path for _, path, _ in writes(sandbox)] == [f"{USERS}/{BOB}"]
    warehouse = run_warehouse("warehouse")
    assert query(warehouse, "select status from users where user_id = ?", [BOB]) == [{"status": "suspended"}]
    assert len(query(warehouse, "select * from user_actions")) == 2


def test_runs_act_and_sync_in_turn() -> None:
    dag = DagBag(DAGS / f"{DAG_ID}.py").dags[DAG_ID]
    limits = {task.task_id: task.max_active_tis_per_dag for task in dag.tasks if task.max_active_tis_per_dag}
    assert limits == {"act": 1, "sync_directory": 1}
