"""What jumpcloud_user_action plans: for which users, with which calls, and what it refuses before any call."""

from __future__ import annotations

import pytest
from airflow.dag_processing.dagbag import DagBag

from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_sandbox.client import Sandbox
from support.acting import (
    ADA,
    APPROVED,
    BOB,
    CASES,
    CYD,
    DAG_ID,
    DAN,
    EVE,
    FAY,
    NEW,
    ORGANIZATION,
    OTHER,
    STAFF,
    STRANGER,
    Json,
    allow,
    every_action,
    given,
    members_of,
    params,
    run_action,
    user_id,
    user_of,
    writes,
)
from support.connections import API_KEY, connection_json
from support.paths import DAGS

pytestmark = pytest.mark.usefixtures("acting")


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
        assert run_action(f"so {state}", params("create", fields={**dan, **state})).outcomes == {"dan": "unchanged"}
    assert writes(sandbox) == []


def test_creating_as_staged_is_so_already_once_somebody_has_activated_the_user(sandbox: Sandbox) -> None:
    staged = params("create", fields={**NEW, "state": "STAGED"})
    assert run_action("created", staged).outcomes == {"Grace.Hopper": "done"}
    (made,) = [user for user in sandbox.organization(ORGANIZATION)["users"] if user["username"] == "Grace.Hopper"]
    run_action("activated", params("activate", made["_id"]))
    ran = run_action("again", staged)
    assert (ran.errors, ran.outcomes) == ({}, {"Grace.Hopper": "unchanged"})


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
