"""jumpcloud_user_action, task by task in this process: what is planned, called, recorded, and what is left alone."""

from __future__ import annotations

import hashlib
import itertools
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.exceptions import HITLTimeoutError
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSkipException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
)

from jumpcloud_elt.actions import execute, operations
from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.landing import action_log as action_run_action_log
from jumpcloud_elt.landing import action_log as action_tasks_action_log
from jumpcloud_elt.tasks import user_action
from jumpcloud_sandbox.client import Sandbox
from support.acting import (
    ADA,
    APPROVED,
    BOB,
    CYD,
    DAG_ID,
    DAN,
    EMPTY,
    EVE,
    FAY,
    ORGANIZATION,
    OTHER,
    REJECTED,
    STAFF,
    STRANGER,
    allow,
    answer_to,
    members_of,
    params,
    run_action,
    user_id,
    user_of,
    world,
    writes,
)
from support.connections import API_KEY, connection_json
from support.paths import DAGS
from support.pipeline import query, run_directory, run_warehouse

Json = dict[str, Any]
NEW = {"username": "Grace Hopper", "email": "grace@x.example", "firstname": "Grace", "department": "Navy"}
# One user to whom each action can be done, one who is so already, and the one call that it takes.
USERS = "/api/systemusers"
RUN_OF = {"dag_id": DAG_ID, "run_id": "run"}
CASES: dict[str, tuple[Json, Json, tuple[str, str]]] = {
    "create": (
        {"fields": NEW},
        {"fields": {"username": "bob", "email": "BOB@x.example", "department": "Sales"}},
        ("POST", USERS),
    ),
    "activate": ({"targets": [DAN]}, {"targets": [BOB]}, ("POST", f"{USERS}/{DAN}/state/activate")),
    "suspend": ({"targets": [BOB]}, {"targets": [CYD]}, ("PUT", f"{USERS}/{BOB}")),
    "unsuspend": ({"targets": [CYD]}, {"targets": [BOB]}, ("PUT", f"{USERS}/{CYD}")),
    "update": (
        {"targets": [BOB], "fields": {"department": "Law"}},
        {"targets": [BOB], "fields": {"department": "Sales"}},
        ("PUT", f"{USERS}/{BOB}"),
    ),
    "unlock": ({"targets": [EVE]}, {"targets": [BOB]}, ("POST", f"{USERS}/{EVE}/unlock")),
    "force_password_reset": ({"targets": [BOB]}, {"targets": [ADA]}, ("POST", f"{USERS}/{BOB}/expire")),
    "reset_mfa": ({"targets": [FAY]}, {"targets": [BOB]}, ("POST", f"{USERS}/{FAY}/resetmfa")),
    "add_to_group": (
        {"targets": [BOB], "group": "Empty"},
        {"targets": [BOB], "group": "Staff"},
        ("POST", f"/api/v2/usergroups/{EMPTY}/members"),
    ),
    "remove_from_group": (
        {"targets": [BOB], "group": STAFF},
        {"targets": [BOB], "group": EMPTY},
        ("POST", f"/api/v2/usergroups/{STAFF}/members"),
    ),
    "delete": ({"targets": [BOB]}, {"targets": [BOB]}, ("DELETE", f"{USERS}/{BOB}")),
}
every_action = pytest.mark.parametrize("action", ACTIONS)


def given(action: str, case: Json, **more: Any) -> Json:
    return (
        params(action, **{"targets": [], **case, **more})
        if "targets" not in case
        else _with_targets(action, case, more)
    )


def _with_targets(action: str, case: Json, more: Json) -> Json:
    rest = {name: value for name, value in case.items() if name != "targets"}
    return params(action, *case["targets"], **{**rest, **more})


@pytest.fixture(autouse=True)
def acting(settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Settings:
    start = world()
    start["organizations"][0]["users"][0]["password_expired"] = True
    sandbox.set_world(start)
    allow(monkeypatch, sandbox)
    return settings


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
def test_a_dry_run_is_the_default_shows_every_call_and_makes_none(
    action: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    case, _, (method, path) = CASES[action]
    asked_for = given(action, case)
    del asked_for["dry_run"]
    before = sandbox.world()
    with caplog.at_level("INFO"):
        ran = run_action("run", asked_for)
    assert (ran.errors, ran.path) == ({}, "act")
    assert writes(sandbox) == [] and sandbox.world() == before
    assert list(ran.outcomes.values()) == ["planned"]
    assert [row["is_dry_run"] for row in ran.rows] == [True]
    assert f'"method":"{method}","path":"{path}"' in str(ran.rows[0]["request"])
    assert str(ran.rows[0]["request"]) in caplog.text
    assert ran.skipped["sync_directory"] == "Nothing has been changed; there is nothing to sync."


@every_action
def test_what_is_so_already_is_not_called_again_and_says_so(action: str, sandbox: Sandbox) -> None:
    _, case, _ = CASES[action]
    if action == "delete":
        run_action("before", given(action, case), APPROVED)
        sandbox.clear_requests()
    ran = run_action("run", given(action, case))
    assert (ran.errors, ran.path) == ({}, "act")
    assert writes(sandbox) == []
    assert list(ran.outcomes.values()) == ["already_so"]


@every_action
def test_running_it_again_calls_nothing(action: str, sandbox: Sandbox) -> None:
    case, _, call = CASES[action]
    for run_id in ("first", "second"):
        ran = run_action(run_id, given(action, case), APPROVED)
        assert ran.errors == {}
    assert list(ran.outcomes.values()) == ["already_so"]
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
        patch.setattr("jumpcloud_elt.api.client.JumpCloudClient._retrying", _die)
        with pytest.raises(KeyboardInterrupt):
            user_action.act(planned, answer_to(planned), 1)
    sandbox.set_faults()
    user_action.act(planned, answer_to(planned), 2)
    assert len(writes(sandbox)) == (1 if acted else 2)


def _die(hook: Any, once: Any, attempts: int | None = None) -> Any:
    """Answers reads; at the first write the worker is gone, right after the request went out."""
    try:
        return once()
    except Exception as error:
        raise KeyboardInterrupt from error


def test_names_emails_and_ids_name_users(sandbox: Sandbox) -> None:
    ran = run_action("run", params("suspend", "bob", "EVE@X.example", FAY, FAY.upper(), "fay"))
    assert ran.outcomes == {BOB: "done", EVE: "done", FAY: "done"}
    assert len(writes(sandbox)) == 3


def test_an_email_in_another_spelling_than_landed_is_found(sandbox: Sandbox) -> None:
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][1]["email"] = "Bob@X.example"
    sandbox.set_organization(organization)
    assert run_action("run", params("suspend", "bOB@x.EXAMPLE")).outcomes == {BOB: "done"}


def test_nobody_is_acted_on_unless_every_target_is_one_user_of_the_organization(sandbox: Sandbox) -> None:
    organization = sandbox.organization(ORGANIZATION)
    organization["users"].append({"_id": user_id(7), "username": "twin", "email": "BOB@x.example"})
    sandbox.set_organization(organization)
    ran = run_action("run", params("suspend", "eve", STRANGER, "stranger@x.example", "nobody", user_id(99)))
    told = ran.errors["plan_action"].splitlines()
    assert told[0].startswith("Nothing was called")
    assert [line.split("'")[1] for line in told[1:]] == [STRANGER, "stranger@x.example", "nobody", user_id(99)]
    assert writes(sandbox) == []
    # Recorded, each with what is wrong with it.
    assert set(ran.outcomes.values()) == {"refused"}
    assert "'nobody' given" in ran.message("nobody") and STRANGER not in ran.message("nobody")
    assert ran.errors["report"].startswith("Nothing was called")


@every_action
@pytest.mark.parametrize(
    ("extra", "organization_id", "told"),
    [
        ({"permission": "read"}, ORGANIZATION, "allowed: a connection with Permission read_and_act"),
        (
            {"permission": "read_and_act", "organization_ids": OTHER},
            ORGANIZATION,
            f"allowed by Organization ids of connection 'jumpcloud_default': {OTHER}",
        ),
        ({"permission": "read_and_act"}, "", "organization_id: '' given; allowed: one id of 24 hexadecimal digits"),
        ({"permission": "read_and_act"}, "d" * 24, "does not see; allowed:"),
    ],
)
def test_every_action_is_refused_where_it_is_not_allowed(
    action: str,
    extra: Json,
    organization_id: str,
    told: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY, extra=extra))
    before = sandbox.world()
    for is_dry_run in (True, False):
        asked_for = given(action, CASES[action][0], organization_id=organization_id, dry_run=is_dry_run)
        assert told in run_action(f"run {is_dry_run}", asked_for).errors["plan_action"]
    # Only what the key sees was asked for, and only where everything else was right.
    assert {one["path"] for one in sandbox.requests()} <= {"/api/organizations"}
    assert sandbox.world() == before


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "create"])
def test_no_action_reaches_a_user_of_another_organization(action: str, sandbox: Sandbox) -> None:
    before = sandbox.world()
    ran = run_action("run", {**given(action, CASES[action][0]), "targets": [STRANGER]}, APPROVED)
    assert f"{STRANGER!r} given, whom organization {ORGANIZATION} does not have" in ran.errors["plan_action"]
    assert (writes(sandbox), sandbox.world()) == ([], before)


@every_action
def test_two_that_were_planned_beside_each_other_and_act_in_turn_call_once(action: str, sandbox: Sandbox) -> None:
    asked_for = given(action, CASES[action][0])
    plans = [user_action.plan_action(asked_for, {**RUN_OF, "run_id": name}, "Anna Admin") for name in ("a", "b")]
    assert [user_action.act(plan, answer_to(plan), 1) for plan in plans] == [{"done": 1}, {"already_so": 1}]
    assert [(method, path) for method, path, _ in writes(sandbox)] == [CASES[action][2]]


def test_an_organization_that_the_key_does_not_see_is_refused(sandbox: Sandbox) -> None:
    ran = run_action("run", params("suspend", "bob", organization_id="d" * 24))
    assert f"allowed: {ORGANIZATION} (Acme), {OTHER} (Other)" in ran.errors["plan_action"]
    assert writes(sandbox) == []


def test_a_user_of_another_organization_that_the_key_sees_is_refused(sandbox: Sandbox) -> None:
    ran = run_action("run", params("suspend", "bob", organization_id=OTHER))
    assert f"'bob' given, whom organization {OTHER} does not have" in ran.errors["plan_action"]
    assert writes(sandbox) == []


@pytest.mark.parametrize("name", ["bob", "bob@x.example", "BOB@X.example", BOB])
def test_a_user_of_another_organization_that_is_listed_all_the_same_is_refused(name: str, sandbox: Sandbox) -> None:
    organization = sandbox.organization(ORGANIZATION)
    # A server that takes no notice of the organization that it is asked about.
    organization["users"][1]["organization"] = OTHER
    sandbox.set_organization(organization)
    ran = run_action("run", params("suspend", name))
    assert f"{name!r} given, whom organization {ORGANIZATION} does not have" in ran.errors["plan_action"]
    assert writes(sandbox) == []


def test_a_name_that_several_users_have_is_refused_naming_their_ids(sandbox: Sandbox) -> None:
    organization = sandbox.organization(ORGANIZATION)
    organization["users"].append({**organization["users"][1], "_id": user_id(7), "id": user_id(7)})
    sandbox.set_organization(organization)
    ran = run_action("run", params("suspend", "bob@x.example", "eve"))
    told = f"'bob@x.example' given, which 2 users have; allowed: one of their ids: {BOB}, {user_id(7)}"
    assert told in ran.errors["plan_action"]
    assert writes(sandbox) == []
    assert run_action("by id", params("suspend", user_id(7))).outcomes == {user_id(7): "done"}


def test_a_connection_that_may_only_read_calls_nobody(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, sandbox, "read")
    for is_dry_run in (True, False):
        ran = run_action(f"run {is_dry_run}", params("suspend", "bob", dry_run=is_dry_run))
        assert "allowed: a connection with Permission read_and_act" in ran.errors["plan_action"]
        assert ran.outcomes == {"bob": "refused"}
    assert sandbox.requests() == []


def test_groups_are_named_by_id_or_exactly_and_unknown_ones_are_refused(sandbox: Sandbox) -> None:
    ran = run_action("run", params("add_to_group", "bob", group="staff"))
    assert (
        "group: 'staff' given; allowed: the id or name of a user group: 'Empty', 'Staff'" in ran.errors["plan_action"]
    )
    organization = sandbox.organization(ORGANIZATION)
    organization["usergroups"].append({"id": "c5" * 12, "name": "Staff"})
    sandbox.set_organization(organization)
    ran = run_action("twice", params("add_to_group", "bob", group="Staff"))
    assert f"as 2 groups are called; allowed: one of their ids: {STAFF}, {'c5' * 12}" in ran.errors["plan_action"]
    assert writes(sandbox) == []
    assert run_action("by id", params("add_to_group", "eve", group=STAFF)).outcomes == {EVE: "done"}
    assert EVE in members_of(sandbox, STAFF)


def test_states_that_an_action_does_not_fit_are_refused_together(sandbox: Sandbox) -> None:
    ran = run_action("run", params("activate", "cyd", "dan"))
    assert f"targets: {CYD} (cyd) is suspended, not staged: use unsuspend" in ran.errors["plan_action"]
    ran = run_action("run 2", params("unsuspend", "dan"))
    assert f"targets: {DAN} (dan) is staged, not suspended: use activate" in ran.errors["plan_action"]
    assert writes(sandbox) == []


def test_a_user_is_created_with_dots_for_spaces_and_a_manager_by_name(sandbox: Sandbox) -> None:
    ran = run_action("run", params("create", fields={**NEW, "manager": "ada", "state": "staged"}))
    assert ran.outcomes == {"Grace.Hopper": "done"}
    (made,) = [user for user in sandbox.organization(ORGANIZATION)["users"] if user["username"] == "Grace.Hopper"]
    assert (made["manager"], made["state"], made["firstname"]) == (ADA, "STAGED", "Grace")


def test_all_problems_of_a_new_user_are_shown_together_and_nobody_is_called(sandbox: Sandbox) -> None:
    ran = run_action("run", params("create", fields={"username": "1st@x", "email": "nowhere", "password": "s3cret"}))
    told = ran.errors["plan_action"]
    assert all(f"- fields.{name}: " in told for name in ("username", "email", "password"))
    assert "s3cret" not in told
    assert sandbox.requests() == []
    assert ran.outcomes == {"1st@x": "refused"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"username": "bob", "email": "bob@x.example", "department": "Law", "firstname": "Bobby"},
            f"user {BOB} has that user name or e-mail, and differs in department, firstname",
        ),
        (
            {"username": "bob2", "email": "bob@x.example"},
            f"user {BOB} has that user name or e-mail, and differs in username",
        ),
        (
            {"username": "bob", "email": "eve@x.example"},
            f"the user name is one user's and the e-mail another's ({BOB}, {EVE})",
        ),
    ],
)
def test_creating_somebody_who_exists_otherwise_is_refused_naming_the_difference(
    fields: Json, told: str, sandbox: Sandbox
) -> None:
    ran = run_action("run", params("create", fields=fields))
    assert told in ran.errors["plan_action"]
    assert writes(sandbox) == []


def test_creating_somebody_who_is_suspended_or_still_staged_is_refused_with_what_to_do(sandbox: Sandbox) -> None:
    ran = run_action("suspended", params("create", fields={"username": "cyd", "email": "cyd@x.example"}))
    assert f"user {CYD} has the same data, and is SUSPENDED: use unsuspend" in ran.errors["plan_action"]
    dan = {"username": "dan", "email": "dan@x.example"}
    ran = run_action("staged", params("create", fields={**dan, "state": "ACTIVATED"}))
    assert f"user {DAN} has the same data, and is STAGED: use activate" in ran.errors["plan_action"]
    for state in ({}, {"state": "STAGED"}):
        assert run_action(f"so {state}", params("create", fields={**dan, **state})).outcomes == {"dan": "already_so"}
    assert writes(sandbox) == []


def test_creating_as_staged_is_so_already_once_somebody_has_activated_the_user(sandbox: Sandbox) -> None:
    staged = params("create", fields={**NEW, "state": "STAGED"})
    assert run_action("created", staged).outcomes == {"Grace.Hopper": "done"}
    (made,) = [user for user in sandbox.organization(ORGANIZATION)["users"] if user["username"] == "Grace.Hopper"]
    run_action("activated", params("activate", made["_id"]))
    ran = run_action("again", staged)
    assert (ran.errors, ran.outcomes) == ({}, {"Grace.Hopper": "already_so"})


def test_only_what_differs_is_updated(sandbox: Sandbox) -> None:
    ran = run_action("run", params("update", "bob", "eve", fields={"department": "Sales", "jobTitle": "Head"}))
    assert ran.outcomes == {BOB: "done", EVE: "done"}
    bodies = [row["request"] for row in ran.rows if row["outcome"] == "asked"]
    assert ['"body":{"jobTitle":"Head"}' in bodies[0], '"department":"Sales"' in bodies[1]] == [True, True]
    assert (user_of(sandbox, EVE) or {})["department"] == "Sales"


def test_options_of_an_action_are_sent(sandbox: Sandbox) -> None:
    run_action("run", params("reset_mfa", "fay", fields={"exclusionDays": 3}))
    assert (user_of(sandbox, FAY) or {})["mfa"]["exclusionDays"] == 3
    ran = run_action("run 2", params("activate", "dan", fields={"email": False}))
    assert '"body":{"email":false}' in ran.rows[0]["request"]


# ---- deletions and approvals ---------------------------------------------------------------------------------


def test_a_managers_deletion_needs_word_on_the_reports(sandbox: Sandbox) -> None:
    ran = run_action("run", params("delete", "ada"), APPROVED)
    assert f"targets: {ADA} (ada) is the manager of 2 users ({BOB}, {CYD}); allowed with" in ran.errors["plan_action"]
    ran = run_action("heir", params("delete", "ada", "eve", fields={"cascade_manager": "eve"}), APPROVED)
    assert "who is to be deleted; allowed: somebody who stays" in ran.errors["plan_action"]
    assert writes(sandbox) == []
    ran = run_action("done", params("delete", "ada", fields={"cascade_manager": "eve@x.example"}), APPROVED)
    assert ran.outcomes == {ADA: "done"}
    assert (user_of(sandbox, BOB) or {})["manager"] == EVE
    assert f'"cascade_manager":"{EVE}"' in ran.rows[0]["request"]
    ran = run_action("nobody", params("delete", "eve", fields={"cascade_manager": None}), APPROVED)
    assert ran.outcomes == {EVE: "done"}
    assert "manager" not in (user_of(sandbox, BOB) or {})


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
    assert ran.outcomes == {BOB: "not_done"}
    assert ran.message(BOB) == why
    # Somebody decided so: no failure. Nobody did: one.
    assert ("report" in ran.errors) == (answer is None)


@pytest.mark.parametrize("given", [None, {}, REJECTED, {"chosen_options": []}])
def test_the_task_itself_refuses_to_act_without_an_approval(given: Json | None, sandbox: Sandbox) -> None:
    planned = user_action.plan_action(params("delete", "bob"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    answer = answer_to(planned, given) if given else given
    # As where the task `approve` was marked as successful by hand, and the plan was tampered with.
    for plan in (planned, {**planned, "needs_approval": False}):
        with pytest.raises(AirflowFailException, match="needs an approval, and none has been given"):
            user_action.act(plan, answer, 1)
    assert writes(sandbox) == []


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
    with pytest.raises(AirflowFailException, match=r"the approval is older than 24 hours\. Start a new run"):
        user_action.act(planned, answer_to(planned, ago=timedelta(hours=24, minutes=1)), 1)
    assert writes(sandbox) == []
    assert user_action.act(planned, answer_to(planned, ago=timedelta(hours=23, minutes=59)), 2) == {"done": 1}


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
    assert user_action.act(planned, None, 1) == {"already_so": 1, "done": 1}
    assert [path for _, path, _ in writes(sandbox)] == [f"{USERS}/{BOB}"]


def test_a_user_who_has_gone_since_is_not_acted_on(sandbox: Sandbox) -> None:
    planned = user_action.plan_action(params("suspend", "bob", "eve"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna")
    organization = sandbox.organization(ORGANIZATION)
    del organization["users"][1]
    sandbox.set_organization(organization)
    with pytest.raises(AirflowFailException, match=f"refused: {BOB} .*is no longer a user of the organization"):
        user_action.act(planned, None, 1)
    assert [path for _, path, _ in writes(sandbox)] == [f"{USERS}/{EVE}"]


# ---- when things go wrong ------------------------------------------------------------------------------------


def on(user: str, **do: Any) -> Json:
    return {"match": {"method": "PUT", "path_regex": f"/{user}$"}, "do": do}


def test_a_partial_batch_says_what_was_done_and_what_was_not_and_is_finished_by_running_it_again(
    sandbox: Sandbox,
) -> None:
    refused = {"status": 400, "body": {"message": "not this one"}}
    sandbox.set_faults(on(EVE, **refused), on(FAY, status=503))
    asked_for = params("suspend", "ada", "bob", "cyd", "eve", "fay")
    ran = run_action("run", asked_for)
    wanted = {ADA: "done", BOB: "done", CYD: "already_so", EVE: "failed", FAY: "unknown"}
    assert ran.outcomes == wanted
    for told in (ran.errors["act"], ran.errors["report"]):
        assert f"- failed: {EVE} (eve): PUT /api/systemusers/{EVE}" in told and "400 not this one" in told
        assert f"- unknown: {FAY} (fay)" in told and f"- done: {ADA} (ada)" in told
        assert told.splitlines()[-1] == "Running it again with the same params does what is left, and nothing twice."
    assert ran.errors["report"].splitlines()[0] == "suspend: 1 already_so, 2 done, 1 failed, 1 unknown"
    # What was done is synced all the same.
    assert "sync_directory" not in ran.errors and "sync_directory" not in ran.skipped
    sandbox.set_faults()
    sandbox.clear_requests()
    ran = run_action("again", asked_for)
    assert ran.errors == {}
    assert ran.outcomes == {**dict.fromkeys((ADA, BOB, CYD), "already_so"), EVE: "done", FAY: "done"}
    assert [path for _, path, _ in writes(sandbox)] == [f"{USERS}/{EVE}", f"{USERS}/{FAY}"]


def test_a_partial_deletion_is_finished_by_running_it_again(sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"method": "DELETE", "path_regex": f"/{EVE}$"}, "do": {"status": 400}})
    asked_for = params("delete", "bob", "eve", FAY)
    assert run_action("run", asked_for, APPROVED).outcomes == {BOB: "done", EVE: "failed", FAY: "done"}
    sandbox.set_faults()
    ran = run_action("again", asked_for, APPROVED)
    assert ran.errors == {}
    assert ran.outcomes == {"bob": "already_so", EVE: "done", FAY: "already_so"}
    # Only of whom this package has deleted it can tell.
    assert "'nobody' given" in run_action("nobody", params("delete", "nobody")).errors["plan_action"]


def test_somebody_who_was_deleted_meanwhile_does_not_keep_the_rest_from_being_finished(sandbox: Sandbox) -> None:
    asked_for = params("suspend", "bob", "eve", "fay@x.example")
    sandbox.set_faults(on(EVE, status=400))
    assert run_action("run", asked_for).outcomes == {BOB: "done", EVE: "failed", FAY: "done"}
    sandbox.set_faults()
    organization = sandbox.organization(ORGANIZATION)
    organization["users"] = [user for user in organization["users"] if user["_id"] != FAY]
    sandbox.set_organization(organization)
    ran = run_action("again", asked_for)
    assert ran.outcomes == {BOB: "already_so", EVE: "done", "fay@x.example": "refused"}
    assert "- refused: fay@x.example: is no longer a user of the organization" in ran.errors["report"]
    # Deleted by somebody else, who was to be deleted: that is so.
    ran = run_action("deleted", params("delete", FAY, "bob"), APPROVED)
    assert (ran.errors, ran.outcomes) == ({}, {FAY: "already_so", BOB: "done"})
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


def test_when_jumpcloud_is_away_the_rest_is_not_tried(sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"method": "PUT"}, "do": {"status": 503}})
    ran = run_action("run", params("suspend", "ada", "bob", "dan", "eve", "fay"))
    assert list(ran.outcomes.values()) == ["unknown"] * 3 + ["not_done"] * 2
    assert ran.message(FAY).startswith("not tried: JumpCloud did not answer before: PUT")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(400, "failed"), (401, "not_done"), (403, "failed"), (404, "failed"), (409, "failed"), (500, "unknown")],
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
        assert ran.outcomes == {BOB: "already_so"}
        return
    (found,) = ran.outcomes.values()
    assert found == outcome
    assert f"{status} words of its own" in ran.errors["act"]
    assert "act" in ran.errors and "report" in ran.errors


@pytest.mark.parametrize(("status", "outcome"), [(400, "failed"), (401, "not_done"), (403, "failed"), (500, "unknown")])
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
        ([{"status": 429}], "not_done"),
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
    assert ("sync_directory" in ran.skipped) == (outcome == "not_done")
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
    assert (again.errors, list(again.outcomes.values())) == ({}, ["already_so"])
    assert len(writes(sandbox)) == 1


def test_days_without_a_second_factor_are_given_once(sandbox: Sandbox) -> None:
    for run_id, outcome in (("first", "done"), ("second", "already_so")):
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
        assert all(set(one) <= {"done", "already_so"} for one in counts), (action, counts)
        usernames = [user["username"] for user in sandbox.organization(ORGANIZATION)["users"]]
        assert len(usernames) == len(set(usernames))


def test_a_killed_task_leaves_the_row_that_says_it_may_have_called(
    acting: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_directory("directory")
    planned = user_action.plan_action(params("suspend", "bob", "eve"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna")

    def killed(*_: Any) -> None:
        raise SystemExit

    # As by SIGKILL: nothing that comes after the call is run, not even what would be recorded then.
    record = action_run_action_log.record
    recorded: list[Any] = []

    def only_before(settings: Settings, attempt: Any, entries: Any) -> None:
        recorded.append(entries)
        if len(recorded) == 1:
            record(settings, attempt, entries)

    monkeypatch.setattr("jumpcloud_elt.actions.execute.record", only_before)
    monkeypatch.setattr("jumpcloud_elt.actions.operations.Action.do", killed)
    with pytest.raises(SystemExit):
        user_action.act(planned, None, 1)
    rows = query(run_warehouse("warehouse"), "select target, outcome, message from user_actions order by target")
    assert [(row["target"], row["outcome"]) for row in rows] == [(BOB, "unknown"), (EVE, "unknown")]
    assert "run it again, which looks first" in rows[0]["message"]


def test_a_task_that_is_interrupted_records_whom_it_was_at(
    acting: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = user_action.plan_action(params("suspend", "ada", "bob", "eve"), {"dag_id": DAG_ID, "run_id": "r"}, "Anna")
    at = iter(("go on", "terminated"))
    do = operations.Action.do

    def interrupted(action: Any, user: Json) -> Any:
        if next(at) == "terminated":
            raise RuntimeError("terminated")
        return do(action, user)

    monkeypatch.setattr("jumpcloud_elt.actions.operations.Action.do", interrupted)
    with pytest.raises(RuntimeError):
        user_action.act(planned, None, 1)
    rows = action_tasks_action_log.read_run(acting.landing, ORGANIZATION, "r")
    assert {row["target"]: row["outcome"] for row in rows} == {ADA: "done", BOB: "unknown", EVE: "not_done"}


# ---- afterwards ----------------------------------------------------------------------------------------------


def test_the_directory_is_synced_and_the_warehouse_shows_user_and_record(
    acting: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run_action("first", params("suspend", "bob"))
    assert ran.errors == {} and ran.skipped == {}
    run_action("dry", params("delete", "bob", dry_run=True))
    run_action("refused", params("suspend", "nobody"))
    run_action("waiting", params("delete", "eve"), None)
    warehouse = run_warehouse("warehouse")
    (bob,) = query(warehouse, "select status, organization_id from users where user_id = ?", [BOB])
    assert bob == {"status": "suspended", "organization_id": ORGANIZATION}
    (organization,) = query(warehouse, "select sync_status, connection_id from organizations")
    assert organization == {"sync_status": "ok", "connection_id": "jumpcloud_default"}
    columns = "run_id, requested_by, action, target, username, is_dry_run, outcome, connection_id"
    rows = query(warehouse, f"select {columns} from user_actions order by requested_at")
    assert [tuple(row.values()) for row in rows] == [
        ("first", "Anna Admin", "suspend", BOB, "bob", False, "done", "jumpcloud_default"),
        ("dry", "Anna Admin", "delete", BOB, "bob", True, "planned", "jumpcloud_default"),
        ("refused", "Anna Admin", "suspend", "nobody", None, False, "refused", "jumpcloud_default"),
        ("waiting", "Anna Admin", "delete", EVE, "eve", False, "not_done", "jumpcloud_default"),
    ]
    (request,) = query(warehouse, "select request from user_actions where run_id = 'waiting'")
    assert request["request"] == f'{{"method":"DELETE","path":"/api/systemusers/{EVE}"}}'


def test_every_try_has_a_row_of_its_own(acting: Settings, sandbox: Sandbox) -> None:
    run_directory("directory")
    sandbox.set_faults(on(BOB, status=400, body={"message": "not now"}))
    planned = user_action.plan_action(params("suspend", "bob"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    with pytest.raises(AirflowFailException):
        user_action.act(planned, None, 1)
    sandbox.set_faults()
    assert user_action.act(planned, None, 2) == {"done": 1}
    rows = query(run_warehouse("warehouse"), "select action_id, outcome from user_actions order by recorded_at")
    first, second = rows
    assert (first["outcome"], second["outcome"]) == ("failed", "done")
    assert second["action_id"] == f"{first['action_id']}-2"


def test_a_try_that_was_lost_before_it_began_is_not_told_of_those_whom_the_next_one_acts_on(
    acting: Settings, sandbox: Sandbox
) -> None:
    run_directory("directory")
    planned = user_action.plan_action(params("delete", "bob"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    answer = answer_to(planned)
    assert user_action.act(planned, answer, 2) == {"done": 1}
    user_action.record_outcomes(planned, answer, ORGANIZATION, "run")
    assert user_action.report(planned, answer, ORGANIZATION, "run") == "delete: 1 done"
    (row,) = query(run_warehouse("warehouse"), "select outcome, approved_by from user_actions")
    assert row == {"outcome": "done", "approved_by": "Olga"}


def test_whom_a_killed_try_did_not_come_to_is_told_as_the_next_one_ended(
    acting: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_directory("directory")
    monkeypatch.setattr(execute, "CHUNK", 2)
    planned = user_action.plan_action(params("suspend", "ada", "bob", "eve", "fay"), RUN_OF, "Anna Admin")
    record, recorded = action_run_action_log.record, []

    def killed_after_the_first(*arguments: Any) -> None:
        recorded.append(arguments)
        if len(recorded) > 1:
            raise SystemExit
        record(*arguments)

    # As by SIGKILL: the first two may have been called, of the others nothing is known.
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("jumpcloud_elt.actions.execute.record", killed_after_the_first)
        user_action.act(planned, None, 1)
    assert user_action.act(planned, None, 2) == {"already_so": 2, "done": 2}
    user_action.record_outcomes(planned, None, ORGANIZATION, "run")
    assert user_action.report(planned, None, ORGANIZATION, "run") == "suspend: 2 already_so, 2 done"
    columns = "right(action_id, 2) = '-2' as is_second, target, outcome, message"
    rows = query(run_warehouse("warehouse"), f"select {columns} from user_actions order by 1, 2")
    assert [(row["target"], row["outcome"]) for row in rows if row["is_second"]] == [
        (ADA, "already_so"), (BOB, "already_so"), (EVE, "done"), (FAY, "done")
    ]  # fmt: skip
    first = {row["target"]: (row["outcome"], row["message"]) for row in rows if not row["is_second"]}
    assert (first[ADA][0], first[BOB][0]) == ("unknown", "unknown")
    assert first[EVE] == first[FAY] == ("not_done", "not tried: the task ended before, and was tried again")


def test_a_plan_that_was_made_again_leaves_nobody_waiting(acting: Settings, sandbox: Sandbox) -> None:
    run_directory("directory")
    # Killed after it had recorded whom it is about; the second finds that Bob is another by now.
    user_action.plan_action(params("suspend", "bob", "eve"), RUN_OF, "Anna Admin")
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][1]["username"], organization["users"][5]["username"] = "robert", "bob"
    sandbox.set_organization(organization)
    planned = user_action.plan_action(params("suspend", "bob", "eve"), RUN_OF, "Anna Admin")
    assert user_action.act(planned, None, 1) == {"done": 2}
    user_action.record_outcomes(planned, None, ORGANIZATION, "run")
    assert user_action.report(planned, None, ORGANIZATION, "run") == "suspend: 2 done"
    rows = query(run_warehouse("w"), "select target, outcome, message from user_actions order by requested_at, target")
    again = "planned again since; nothing was called"
    assert [tuple(row.values()) for row in rows] == [
        (BOB, "not_done", again), (EVE, "not_done", again), (EVE, "done", "done"), (FAY, "done", "done")
    ]  # fmt: skip


def test_a_plan_that_fails_when_it_is_made_again_leaves_nobody_waiting(sandbox: Sandbox) -> None:
    user_action.plan_action(params("suspend", "bob"), RUN_OF, "Anna Admin")
    with pytest.raises(AirflowSkipException):
        user_action.record_outcomes(None, None, ORGANIZATION, "run")
    rows = action_tasks_action_log.read_run(read_settings().landing, ORGANIZATION, "run")
    assert [row["outcome"] for row in rows] == ["asked", "not_done"]


def test_the_record_is_appended_to_and_never_rewritten(acting: Settings, sandbox: Sandbox) -> None:
    folder = acting.landing / "user_actions" / f"organization_id={ORGANIZATION}"
    run_action("run", params("suspend", "bob"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    run_action("again", params("suspend", "bob"))
    run_action("run", params("unsuspend", "bob"))
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert len(list(folder.iterdir())) > len(before)


def test_an_organization_that_no_configured_connection_syncs_is_not_synced(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"organization_ids": OTHER}
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY, extra=extra))
    acting = {"permission": "read_and_act", "organization_ids": ORGANIZATION}
    monkeypatch.setenv("AIRFLOW_CONN_ACTING", connection_json(sandbox.url, API_KEY, extra=acting))
    ran = run_action("run", params("suspend", "bob", connection_id="acting"))
    assert ran.outcomes == {BOB: "done"} and ran.errors == {}
    assert "syncs organization" in ran.skipped["sync_directory"]
    assert ran.skipped["record_outcomes"] == "Recorded; the warehouse shows it once something has been synced."


def test_a_large_deletion_is_synced_as_far_as_it_was_this_runs(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Snapshots are told apart by whole seconds.
    minutes = itertools.count()
    yesterday = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1)
    monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda: yesterday + timedelta(minutes=next(minutes)))
    start = world()
    users = start["organizations"][0]["users"]
    users += [
        {**users[4], "_id": user_id(number), "username": f"u{number}", "email": f"u{number}@x.example"}
        for number in range(10, 50)
    ]
    sandbox.set_world(start)
    run_directory("directory")
    first = params("delete", *(user_id(number) for number in range(10, 30)))
    ran = run_action("deletion", first, APPROVED)
    assert (ran.errors, set(ran.outcomes.values())) == ({}, {"done"})
    warehouse = run_warehouse("one")
    mine = "select sync_status, sync_message from organizations where organization_id = ?"
    assert query(warehouse, mine, [ORGANIZATION]) == [{"sync_status": "ok", "sync_message": None}]
    assert query(warehouse, "select count(*) as gone from users where status = 'deleted'") == [{"gone": 20}]
    decisions = query(warehouse, "select distinct decision from sync_log where run_id = 'deletion'")
    assert decisions == [{"decision": "accepted by deletion"}]
    # Twelve more have gone, and not by this run.
    organization = sandbox.organization(ORGANIZATION)
    organization["users"] = [user for user in organization["users"] if user["_id"] < user_id(38)]
    sandbox.set_organization(organization)
    assert run_action("another", params("delete", user_id(30)), APPROVED).errors == {}
    (organization,) = query(run_warehouse("two"), mine, [ORGANIZATION])
    assert organization["sync_status"] == "held" and "down by 13" in organization["sync_message"]


def test_a_sync_that_fails_says_that_the_users_were_changed(sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"path_regex": "^/api/applications"}, "do": {"status": 400}})
    ran = run_action("run", params("suspend", "bob"))
    assert ran.outcomes == {BOB: "done"}
    assert "400" in ran.errors["sync_directory"]


def test_personal_fields_that_are_not_to_be_landed_are_sent_and_not_recorded(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__LAND_PERSONAL_FIELDS", "false")
    fields = {"alternateEmail": "bob@home.example", "department": "Law"}
    ran = run_action("run", params("update", "bob", fields=fields))
    assert (user_of(sandbox, BOB) or {})["alternateEmail"] == "bob@home.example"
    assert "home.example" not in repr(ran.rows) and '"department":"Law"' in ran.rows[-1]["request"]


def test_values_that_are_refused_are_not_recorded_where_they_may_hold_a_secret_or_are_personal(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ran = run_action("nested", params("update", "bob", fields={"description": {"password": "hunter2"}}))
    assert "fields.description: an object given; allowed: a text" in ran.message("bob")
    given = {
        "targets": [{"password": "hunter2"}],
        "filters": {"group": [{"password": "hunter2"}]},
        "group": {"x": "hunter2"},
    }
    nested = run_action("nested more", {**params("suspend"), **given})
    assert "hunter2" not in repr(ran.rows) + repr(ran.errors) + repr(nested.rows) + repr(nested.errors)
    fields = {"alternateEmail": "bob at home", "location": ["bob at home"], "description": "bob at home \0"}
    told = run_action("kept", params("update", "bob", fields={"alternateEmail": "bob at home"})).message("bob")
    assert "'bob at home' given" in told
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__LAND_PERSONAL_FIELDS", "false")
    with caplog.at_level("INFO"):
        ran = run_action("personal", params("update", "bob", fields=fields))
        run_action("sent", params("update", "bob", fields={"alternateEmail": "bob@home.example"}))
    assert "fields.alternateEmail: a text given (11 characters); allowed: an e-mail" in ran.message("bob")
    assert "at home" not in repr(ran.rows) + repr(ran.errors)
    assert "home.example" not in caplog.text


def test_no_key_is_in_errors_logs_or_the_record(
    acting: Settings, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"message": f"bad key {API_KEY}"}
    sandbox.set_faults(on(BOB, status=403, body=body))
    with caplog.at_level("DEBUG"):
        ran = run_action("run", params("suspend", "bob"))
    assert "bad key ***" in ran.message(BOB)
    assert API_KEY not in caplog.text + repr(ran.errors) + repr(ran.rows) + repr(ran.planned)


# ---- by Airflow ----------------------------------------------------------------------------------------------


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
    with pytest.raises(TaskAwaitingInput):
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


def test_runs_act_and_sync_in_turn() -> None:
    dag = DagBag(DAGS / f"{DAG_ID}.py").dags[DAG_ID]
    limits = {task.task_id: task.max_active_tis_per_dag for task in dag.tasks if task.max_active_tis_per_dag}
    assert limits == {"act": 1, "sync_directory": 1}


def test_who_may_approve_and_how_long_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    path = DAGS / f"{DAG_ID}.py"
    approve = DagBag(path).dags[DAG_ID].get_task("approve")
    assert (approve.response_timeout, approve.assigned_users) == (timedelta(hours=24), None)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVERS", "anna, omar")
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__ACTIONS_APPROVAL_TIMEOUT_HOURS", "0.5")
    approve = DagBag(path).dags[DAG_ID].get_task("approve")
    assert approve.response_timeout == timedelta(minutes=30)
    assert approve.assigned_users == [{"id": "anna", "name": "anna"}, {"id": "omar", "name": "omar"}]


@pytest.mark.usefixtures("airflow_database")
@pytest.mark.parametrize(
    ("conf", "told"),
    [
        ({"action": "explode"}, "'explode' is not one of"),
        ({"organization_id": "Acme"}, "'Acme' does not match"),
        ({"dry_run": "no"}, "'no' is not of type 'boolean'"),
    ],
)
def test_the_form_refuses_what_it_can_tell_by_itself(conf: Json, told: str, sandbox: Sandbox) -> None:
    dag = DagBag(DAGS / f"{DAG_ID}.py").dags[DAG_ID]
    given = {"organization_id": ORGANIZATION, "action": "suspend", "targets": ["bob"], **conf}
    with pytest.raises(Exception, match=told):
        dag.test(run_conf=given)
    assert sandbox.requests() == []
