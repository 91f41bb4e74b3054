"""Users found by filters over the published warehouse: whom they find, and that nobody is found by mistake."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from jumpcloud_elt.actions import filters
from jumpcloud_elt.actions.filters import find_users
from jumpcloud_elt.actions.models import Filters
from jumpcloud_elt.core import times
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.landing import action_log
from jumpcloud_elt.tasks import user_action
from jumpcloud_sandbox.client import Sandbox
from support.acting import (
    ADA,
    APPROVED,
    BOB,
    CYD,
    DAN,
    DAY,
    EVE,
    FAY,
    ORGANIZATION,
    STAFF,
    TODAY,
    allow,
    answer_to,
    params,
    run_action,
    user_of,
    world,
    writes,
)
from support.pipeline import run_directory, run_usage, run_warehouse

Json = dict[str, Any]
FROM = TODAY - 12 * DAY


def event(user: str, at: datetime, **more: Any) -> Json:
    """A successful log-in to the user portal."""
    return {
        "id": f"{user}{at:%d%H%M%S}",
        "service": "directory",
        "event_type": "user_login_attempt",
        "organization": ORGANIZATION,
        "timestamp": f"{at.isoformat()}Z",
        "success": True,
        "initiated_by": {"type": "user", "id": user},
        **more,
    }


def events() -> list[Json]:
    """Ada has logged in yesterday, Bob eleven days ago, Eve tried in vain; nobody else ever."""
    return [
        event(ADA, TODAY - DAY / 2),
        event(BOB, FROM + DAY / 2),
        event(EVE, TODAY - DAY / 2, success=False),
    ]


@pytest.fixture(autouse=True)
def acting(settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Settings:
    sandbox.set_world(world(insights="enabled", events=events()))
    allow(monkeypatch, sandbox)
    return read_settings()


def land(*, usage: tuple[datetime, datetime] | None = (FROM, TODAY), number: int = 1) -> None:
    """Land the directory, and usage of that time, and publish."""
    run_directory(f"directory {number}")
    if usage:
        run_usage(f"usage {number}", *usage)
    run_warehouse(f"warehouse {number}")


def found(**given: Any) -> tuple[str, ...]:
    return find_users(ORGANIZATION, Filters(**given)).user_ids


def test_each_filter_finds_who_is_so_and_all_must_hold(acting: Settings) -> None:
    land()
    everybody = (ADA, BOB, CYD, DAN, EVE, FAY)
    assert found() == everybody
    assert found(status=("suspended",)) == (CYD,)
    assert found(status=("staged", "locked")) == (DAN, EVE)
    assert found(lifecycle=("current",)) == (ADA, BOB, DAN, EVE, FAY)
    assert found(lifecycle=("past",)) == (CYD,)
    assert found(role=("manager",)) == (ADA,)
    assert found(group=("Staff",)) == (ADA, BOB)
    assert found(group=("staff",)) == ()
    assert found(department=("Research",)) == (EVE,)
    assert found(department=("Sales",), status=("active",)) == (ADA, BOB, FAY)
    assert found(unused_days=10) == (BOB, CYD, DAN, EVE, FAY)
    assert found(unused_days=12) == (CYD, DAN, EVE, FAY)
    assert found(unused_days=10, status=("active",)) == (BOB, FAY)


@pytest.mark.parametrize(
    "actor",
    [
        {"initiated_by": {"type": "user", "username": "Fay"}},
        {"initiated_by": {"type": "user", "email": "FAY@x.example"}},
        {"initiated_by": {}, "resource": {"type": "user", "username": "FAY"}},
        {
            "event_type": "sso_auth",
            "service": "sso",
            "initiated_by": {"type": "user", "email": "fay@x.example"},
            "sso_token_success": True,
            "application": {"id": "a" * 24, "name": "wiki"},
        },
    ],
)
def test_somebody_whom_a_log_in_names_otherwise_is_not_unused(actor: Json, sandbox: Sandbox) -> None:
    unattributed = event(FAY, TODAY - 3 * DAY, **actor)
    before_that = event(DAN, FROM + DAY / 4, initiated_by={"type": "user", "username": "DAN"})
    failed = event(CYD, TODAY - 2 * DAY, initiated_by={"type": "user", "username": "CYD"}, success=False)
    sandbox.set_world(world(insights="enabled", events=[*events(), unattributed, before_that, failed]))
    land()
    assert found(unused_days=10) == (BOB, CYD, DAN, EVE)
    assert found(unused_days=2) == (BOB, CYD, DAN, EVE, FAY)
    assert found(status=("active",)) == (ADA, BOB, FAY)


def test_users_of_other_organizations_administrators_and_those_who_are_gone_are_never_found(
    acting: Settings, sandbox: Sandbox
) -> None:
    land()
    organization = sandbox.organization(ORGANIZATION)
    organization["users"] = organization["users"][1:]
    organization["administrators"].append({"_id": "9" * 24, "email": "pat@x.example", "roleName": "Manager"})
    sandbox.set_organization(organization)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda: datetime.now().replace(microsecond=0) + DAY)
        land(number=2, usage=None)
    assert found() == (BOB, CYD, DAN, EVE, FAY)
    assert found(role=("manager",)) == ()


def test_a_user_younger_than_the_days_asked_for_is_not_unused_for_so_long(acting: Settings, sandbox: Sandbox) -> None:
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][5]["created"] = f"{(TODAY - 5 * DAY).isoformat()}.000Z"
    # Nobody says when: it may have been there all the time.
    del organization["users"][3]["created"]
    sandbox.set_organization(organization)
    land()
    assert found(unused_days=10) == (BOB, CYD, DAN, EVE)
    assert found(unused_days=5) == (BOB, CYD, DAN, EVE, FAY)
    assert found(unused_days=6) == (BOB, CYD, DAN, EVE)


@pytest.mark.parametrize(
    ("insights", "usage", "days", "reason"),
    [
        ("not_enabled", (FROM, TODAY), 10, "usage of Acme is unavailable: Directory Insights is not enabled"),
        ("forbidden", (FROM, TODAY), 10, "usage of Acme is unavailable: The key may not read"),
        (
            "empty",
            (FROM, TODAY),
            10,
            "usage of Acme is unknown: Directory Insights was read and JumpCloud counted no event",
        ),
        ("enabled", None, 10, "usage of Acme is unknown: Directory Insights has not been read yet."),
        ("enabled", (FROM, TODAY), 13, "usage of Acme is known without a gap since"),
        ("enabled", (FROM, TODAY - 3 * DAY), 5, "usage of Acme has been read up to"),
    ],
)
def test_unused_days_finds_nobody_where_usage_is_not_known(
    insights: str, usage: tuple[datetime, datetime] | None, days: int, reason: str, sandbox: Sandbox
) -> None:
    sandbox.set_world(world(insights=insights, events=events()))
    land(usage=usage)
    answer = find_users(ORGANIZATION, Filters(unused_days=days))
    assert answer.user_ids == ()
    assert (answer.reason or "").startswith(reason)
    # A run that finds nobody does nothing, says why, and is no failure.
    ran = run_action("run", params("delete", filters={"unused_days": days}), APPROVED)
    assert ran.errors == {} and ran.rows == []
    assert reason in ran.skipped["act"]
    assert writes(sandbox) == []


def test_unused_days_finds_nobody_where_a_day_was_not_read(sandbox: Sandbox) -> None:
    run_directory("directory")
    run_usage("before", FROM, TODAY - 6 * DAY)
    run_usage("after", TODAY - 5 * DAY, TODAY)
    run_warehouse("warehouse")
    answer = find_users(ORGANIZATION, Filters(unused_days=10))
    assert answer.user_ids == ()
    reason = f"since {TODAY - 5 * DAY:%Y-%m-%d} 00:00 UTC only; unused_days 10 needs all of it, log-ins and SSO,"
    assert reason in (answer.reason or "")
    assert found(unused_days=5) == (BOB, CYD, DAN, EVE, FAY)
    run_usage("gap", TODAY - 6 * DAY, TODAY - 5 * DAY)
    run_warehouse("warehouse 2")
    assert found(unused_days=10) == (BOB, CYD, DAN, EVE, FAY)


def test_days_that_were_read_without_sso_say_nothing_of_its_use(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = {"id": "3" * 24, "name": "wiki", "display_label": "Wiki", "sso_type": "saml"}
    sso = event(FAY, TODAY - 3 * DAY, service="sso", event_type="sso_auth", sso_token_success=True)
    sandbox.set_world(world(insights="enabled", events=[*events(), {**sso, "application": application}]))
    # As an older version of this package could be told to.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jumpcloud_elt.core.settings._usage_services", lambda _: ("directory",))
        land(usage=(FROM, TODAY - DAY))
    land(usage=(TODAY - DAY, TODAY), number=2)
    answer = find_users(ORGANIZATION, Filters(unused_days=10))
    assert answer.user_ids == ()
    assert "needs all of it, log-ins and SSO" in (answer.reason or "")
    # Read again with both, by whatever name, it is known who used what.
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "all")
    land(usage=(FROM, TODAY), number=3)
    assert found(unused_days=10) == (BOB, CYD, DAN, EVE)


def test_units_before_the_first_event_prove_nothing(sandbox: Sandbox) -> None:
    # Read further back than JumpCloud keeps events: those days are empty, and look like days without use.
    land(usage=(FROM - 5 * DAY, TODAY))
    assert found(unused_days=12) == (CYD, DAN, EVE, FAY)
    answer = find_users(ORGANIZATION, Filters(unused_days=13))
    assert answer.user_ids == () and f"since {FROM:%Y-%m-%d} 00:00 UTC only" in (answer.reason or "")


def test_old_users_find_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    land()
    later = times.utc_now() + filters.STALE_AFTER + timedelta(minutes=1)
    monkeypatch.setattr("jumpcloud_elt.actions.filters.utc_now", lambda: later)
    answer = find_users(ORGANIZATION, Filters(status=("active",)))
    assert answer.user_ids == () and "were last synced at" in (answer.reason or "")
    answer = find_users("d" * 24, Filters(status=("active",)))
    assert answer.user_ids == () and "the warehouse holds no users of organization" in (answer.reason or "")


def test_without_a_published_warehouse_filters_fail_and_say_so(sandbox: Sandbox) -> None:
    with pytest.raises(WarehouseError, match="run jumpcloud_warehouse first"):
        found(status=("active",))
    ran = run_action("run", params("suspend", filters={"status": "active"}))
    assert "run jumpcloud_warehouse first" in ran.errors["plan_action"]
    assert writes(sandbox) == []


def test_filters_are_resolved_to_ids_before_anybody_approves(sandbox: Sandbox) -> None:
    land()
    ran = run_action("run", params("delete", filters={"unused_days": 10, "status": "active"}), APPROVED)
    assert ran.errors == {}
    assert ran.planned is not None
    assert BOB in ran.planned["body"] and FAY in ran.planned["body"] and ADA not in ran.planned["body"]
    assert "Log-ins to devices, RADIUS and LDAP are not counted" in ran.planned["body"]
    assert ran.outcomes == {BOB: "done", FAY: "done"}
    assert user_of(sandbox, BOB) is None and user_of(sandbox, ADA) is not None


def plan(**given: Any) -> Json:
    """The plan of a deletion of whoever the filters find, Ada the manager too."""
    run_of = {"dag_id": "jumpcloud_user_action", "run_id": "run"}
    given = params("delete", filters=given, fields={"cascade_manager": None})
    return user_action.plan_action(given, run_of, "Anna Admin")


def outcomes() -> dict[str, tuple[str, str]]:
    rows = action_log.read_run(read_settings().landing, ORGANIZATION, "run")
    return {row["target"]: (row["outcome"], row["message"]) for row in rows}


def test_somebody_whom_a_newer_warehouse_has_seen_is_left_out(sandbox: Sandbox) -> None:
    land(usage=(FROM, TODAY - DAY))
    planned = plan(unused_days=10, status="active")
    assert {target for target, (outcome, _) in outcomes().items() if outcome == "asked"} == {BOB, FAY}
    # The warehouse does not know of Ada's log-in yet; JumpCloud does.
    assert outcomes()[ADA][1].startswith("has tried to log in 1 times since")
    # While the approval was waited for: another day, with a log-in of Bob's.
    sandbox.add_events(ORGANIZATION, [event(BOB, TODAY - DAY / 4)])
    run_usage("newer", TODAY - DAY, TODAY)
    run_warehouse("newer")
    assert user_action.act(planned, answer_to(planned), 1) == {"skipped": 2, "done": 1}
    assert outcomes()[BOB] == ("skipped", "no longer as the filters ask: the warehouse has changed")
    assert user_of(sandbox, BOB) is not None


@pytest.mark.parametrize(
    "actor",
    [
        {"initiated_by": {"type": "user", "id": BOB}},
        {"initiated_by": {"type": "user", "username": "bob"}},
        {"initiated_by": {"type": "user", "email": "Bob@X.example"}},
        {"initiated_by": {"type": "admin", "email": "bob@x.example"}, "event_type": "admin_login_attempt"},
        {"resource": {"type": "user", "id": BOB}, "initiated_by": None},
        {"initiated_by": {"type": "user", "id": BOB}, "success": False},
    ],
)
def test_somebody_who_has_logged_in_since_usage_was_read_is_left_out(actor: Json, sandbox: Sandbox) -> None:
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][1]["email"] = "Bob@X.example"
    sandbox.set_organization(organization)
    land()
    planned = plan(unused_days=10, status="active")
    # Not in any warehouse: JumpCloud is asked, right before the call.
    sandbox.add_events(ORGANIZATION, [event(BOB, TODAY + timedelta(seconds=1), **actor)])
    assert user_action.act(planned, answer_to(planned), 1) == {"skipped": 1, "done": 1}
    assert outcomes()[BOB][1].startswith("has tried to log in 1 times since")
    assert user_of(sandbox, BOB) is not None and user_of(sandbox, FAY) is None


def test_where_jumpcloud_does_not_say_who_has_logged_in_since_nobody_is_called(sandbox: Sandbox) -> None:
    land()
    planned = plan(unused_days=10, status="active")
    sandbox.set_faults({"match": {"path_regex": "events/count"}, "do": {"status": 403}})
    with pytest.raises(Exception, match="2 refused"):
        user_action.act(planned, answer_to(planned), 1)
    assert writes(sandbox) == []


def test_who_is_no_longer_so_at_jumpcloud_is_left_out_though_the_warehouse_says_so(sandbox: Sandbox) -> None:
    land()
    planned = plan(status=["active", "locked"], department=["Sales", "Research"], lifecycle="current")
    assert set(outcomes()) == {ADA, BOB, EVE, FAY}
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][1] |= {"state": "SUSPENDED", "suspended": True}
    organization["users"][4]["department"] = "Board"
    organization["users"][5]["password_expired"] = True
    sandbox.set_organization(organization)
    assert user_action.act(planned, answer_to(planned), 1) == {"skipped": 3, "done": 1}
    assert outcomes()[BOB][1] == "no longer as the filters ask: the status is suspended"
    assert outcomes()[EVE][1] == "no longer as the filters ask: the department is another"
    assert outcomes()[FAY][1] == "no longer as the filters ask: the status is password_expired"
    assert user_of(sandbox, ADA) is None


def test_a_group_or_a_role_that_was_lost_since_is_looked_for_at_jumpcloud(sandbox: Sandbox) -> None:
    land()
    run_of = {"dag_id": "jumpcloud_user_action", "run_id": "run"}
    by_group = params("suspend", filters={"group": ["Staff", "Empty"]})
    planned = user_action.plan_action(by_group, run_of, "Anna Admin")
    organization = sandbox.organization(ORGANIZATION)
    organization["memberships"] = {STAFF: [ADA]}
    sandbox.set_organization(organization)
    assert user_action.act(planned, None, 1) == {"skipped": 1, "done": 1}
    assert outcomes()[BOB] == ("skipped", "no longer as the filters ask: is in no such group")
    # The group itself has another name.
    organization = sandbox.organization(ORGANIZATION)
    organization["usergroups"][0]["name"] = "Team"
    sandbox.set_organization(organization)
    assert run_action("renamed", by_group).outcomes == {ADA: "unchanged", BOB: "skipped"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"administrators": []}, "user"),
        ({"administrators": [{"_id": "9" * 24, "email": "ADA@x.example", "roleName": "Read Only"}]}, "read only"),
        ({"administrators": [{"_id": "9" * 24, "email": "ada@x.example", "role": "nameless"}]}, "unknown"),
        ({"administrators": [{"_id": "9" * 24, "email": "ada@x.example", "roleNames": ["MANAGER", "Help"]}]}, None),
        (
            {
                "administrators": [{"_id": "9" * 24, "email": "ada@x.example", "role": "r1"}],
                "roles": [{"id": "r1", "name": "Manager"}],
            },
            None,
        ),
        ({"administrators": [], "users": {"admin": {"roleName": "manager"}}}, None),
        ({"administrators": [], "users": {"admin": {}}}, "unknown"),
    ],
)
def test_a_role_is_what_jumpcloud_says_right_before_the_call(change: Json, told: str | None, sandbox: Sandbox) -> None:
    land()
    run_of = {"dag_id": "jumpcloud_user_action", "run_id": "run"}
    planned = user_action.plan_action(params("suspend", filters={"role": "Manager"}), run_of, "Anna Admin")
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][0] |= change.pop("users", {})
    sandbox.set_organization({**organization, **change})
    assert user_action.act(planned, None, 1) == ({"skipped": 1} if told else {"done": 1})
    if told:
        assert outcomes()[ADA] == ("skipped", f"no longer as the filters ask: the role is {told}")


def test_a_filter_that_jumpcloud_cannot_confirm_calls_nobody(sandbox: Sandbox) -> None:
    land()
    run_of = {"dag_id": "jumpcloud_user_action", "run_id": "run"}
    for filter, path in ({"role": "Manager"}, "^/api/users$"), ({"group": "Staff"}, "usergroups$"):
        planned = user_action.plan_action(params("suspend", filters=filter), run_of, "Anna Admin")
        sandbox.set_faults({"match": {"path_regex": path}, "do": {"status": 403}})
        with pytest.raises(Exception, match="403"):
            user_action.act(planned, None, 1)
        sandbox.set_faults()
    assert writes(sandbox) == []


def test_a_dry_run_and_an_approval_name_those_whom_the_real_run_would_act_on_and_nobody_else(sandbox: Sandbox) -> None:
    land()
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][4]["department"] = "Board"
    sandbox.set_organization(organization)
    sandbox.add_events(ORGANIZATION, [event(FAY, TODAY + timedelta(seconds=1))])
    given = {"unused_days": 10, "department": ["Sales", "Research"], "status": ["active", "locked"]}
    dry = run_action("dry", params("delete", filters=given, dry_run=True))
    assert dry.outcomes == {BOB: "planned", EVE: "skipped", FAY: "skipped"}
    real = run_action("real", params("delete", filters=given), APPROVED)
    assert real.planned is not None and real.planned["subject"] == "JumpCloud: delete, 1 user?"
    assert FAY not in real.planned["body"] and EVE not in real.planned["body"]
    assert real.outcomes == {BOB: "done", EVE: "skipped", FAY: "skipped"}
    # Nothing is left to be done to them.
    assert (dry.errors, real.errors) == ({}, {})
    assert {row["is_unfinished"] for row in real.rows if row["target"] != BOB} == {False}


def test_nobody_whom_the_filters_find_inherits_those_who_report_to_the_deleted(sandbox: Sandbox) -> None:
    land()
    heir = params("delete", filters={"group": "Staff"}, fields={"cascade_manager": "bob"})
    ran = run_action("run", heir, APPROVED)
    assert f"fields.cascade_manager: {BOB!r} given, who is to be deleted" in ran.errors["plan_action"]
    assert writes(sandbox) == []
    ran = run_action("eve", {**heir, "fields": {"cascade_manager": "eve"}}, APPROVED)
    assert (ran.errors, ran.outcomes) == ({}, {ADA: "done", BOB: "done"})
    assert (user_of(sandbox, CYD) or {})["manager"] == EVE


def test_whom_an_action_does_not_fit_is_left_out_of_a_filtered_batch(sandbox: Sandbox) -> None:
    land()
    ran = run_action("run", params("unsuspend", filters={"status": ["suspended", "staged"]}))
    assert ran.errors == {}
    assert ran.outcomes == {CYD: "done", DAN: "skipped"}


def test_a_status_that_the_action_itself_has_changed_is_so_already_when_tried_again(sandbox: Sandbox) -> None:
    land()
    run_of = {"dag_id": "jumpcloud_user_action", "run_id": "run"}
    given = params("suspend", filters={"status": "active"})
    planned = user_action.plan_action(given, run_of, "Anna Admin")
    assert user_action.act(planned, None, 1) == {"done": 3}
    assert user_action.act(planned, None, 2) == {"unchanged": 3}
    assert len(writes(sandbox)) == 3
