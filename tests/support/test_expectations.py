"""Hand-computed cases for the tests' own expectation: one short story for every definition.

They keep the expectation honest; they say nothing about the package.
"""

from __future__ import annotations

import itertools
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from support.expectations import TABLES, Attempt, Insights, Row, Snapshot, Unit, expected, lower, moment, text

ORG = "org1"
JANUARY = datetime(2026, 1, 1)
DAY = timedelta(days=1)


def at(day: int, hour: int = 0) -> datetime:
    """Return an hour of a day of January 2026; days count on beyond the month."""
    return JANUARY + timedelta(days=day - 1, hours=hour)


def user(user_id: str, **columns: Any) -> Row:
    """Return an ordinary active user."""
    base = {"username": user_id, "email": f"{user_id}@x.io", "state": "ACTIVATED", "activated": True}
    return {"_id": user_id, **base, **columns}


def admin(admin_id: str, email: str | None, *roles: str, **columns: Any) -> Row:
    """Return an administrator with these roles."""
    return {"_id": admin_id, "email": email, "roleNames": list(roles), **columns}


def snapshot(day: int, *users: Row, admins: tuple[Row, ...] = (), apps: tuple[Row, ...] = (), **rest: Any) -> Snapshot:
    """Return the snapshot of a day's first instant."""
    rest = {"organization_id": ORG, "organization": {"_id": ORG, "displayName": "Acme"}, **rest}
    return Snapshot(
        snapshot_at=at(day), users=list(users), administrators=list(admins), applications=list(apps), **rest
    )


def stamp(when: datetime | str) -> str:
    """Return a timestamp as events have it."""
    return when if isinstance(when, str) else when.isoformat() + "Z"


def portal(event_id: str, when: datetime | str, success: bool | None = True, **actor: Any) -> Row:
    """Return a login to the user portal."""
    return {
        "id": event_id,
        "event_type": "user_login_attempt",
        "service": "directory",
        "timestamp": stamp(when),
        "initiated_by": {"type": "user", **actor},
        **({} if success is None else {"success": success}),
    }


def admin_login(event_id: str, when: datetime | str, success: bool | None = True, **actor: Any) -> Row:
    """Return a login to the admin portal."""
    return {**portal(event_id, when, success, **actor), "event_type": "admin_login_attempt"}


def sso(event_id: str, when: datetime | str, app: str | None, success: bool | None = True, **actor: Any) -> Row:
    """Return a sign-on to an application; one that failed says why."""
    event = portal(event_id, when, None, **actor) | {"event_type": "sso_auth", "service": "sso"}
    event["application"] = {
        "id": app,
        "display_label": f"Label {app}",
        "name": f"slug-{app}",
        "sso_type": "saml",
    }
    outcome = {} if success is None else {"sso_token_success": success}
    return event | outcome | ({"error_message": "denied"} if success is False else {})


def unit(day: int, *events: Row, days: int = 1, extracted: datetime | None = None, org: str = ORG) -> Unit:
    """Return the landed unit that starts with a day."""
    return Unit(org, at(day), at(day + days), extracted or at(day + days, 1), list(events))


def tables(
    snapshots: list[Snapshot],
    units: list[Unit] | None = None,
    state: str = "read",
) -> dict[str, list[Row]]:
    """Return what is expected of one organization."""
    return expected(snapshots, units or [], [Insights(ORG, state, None)], {ORG: "jumpcloud_default"})


def accounts(*snapshots: Snapshot, units: list[Unit] | None = None) -> dict[str, Row]:
    """Return the rows of `users` by id."""
    return {row["user_id"]: row for row in tables(list(snapshots), units)["users"]}


def account(payload: Row, *admins: Row) -> Row:
    """Return the row of one user, of one snapshot."""
    return accounts(snapshot(1, payload, admins=admins))[payload["_id"]]


def actors(snapshots: list[Snapshot], *events: Row) -> list[str | None]:
    """Return whom each event of the first day is about, by the failures and successes of `usage_daily`."""
    found = []
    for event in events:
        (row,) = tables(snapshots, [unit(1, event)])["usage_daily"]
        found.append(row["user_id"])
    return found


# Values


def test_timestamps_have_zero_to_nine_fraction_digits_and_what_is_too_fine_is_cut() -> None:
    assert moment("2026-01-01T00:00:00Z") == JANUARY
    assert moment("2026-01-01T00:00:00.5Z") == datetime(2026, 1, 1, 0, 0, 0, 500_000)
    assert moment("2026-01-01T00:00:00.999999999Z") == datetime(2026, 1, 1, 0, 0, 0, 999_999)
    assert moment("2026-01-01T01:00:00.25+01:00") == datetime(2026, 1, 1, 0, 0, 0, 250_000)
    assert moment("2025-12-31T23:30:00-0030") == JANUARY


@pytest.mark.parametrize("value", [None, "", "soon", "2026-02-30T00:00:00Z", "2026-01-01T24:30:00Z", 1])
def test_what_is_no_timestamp_is_nothing(value: object) -> None:
    assert moment(value) is None


def test_text_is_kept_as_received_and_only_emptiness_is_null() -> None:
    assert [text(value) for value in (None, "", " ", " Zoë ", 7)] == [None, None, " ", " Zoë ", "7"]


def test_lower_case_goes_code_point_by_code_point() -> None:
    assert lower("ÀΑΣ İ ß") == "àασ i ß"


# Users


@pytest.mark.parametrize(
    ("columns", "status", "lifecycle"),
    [
        ({}, "active", "current"),
        ({"activated": False}, "password_pending", "current"),
        ({"activated": None}, "active", "current"),
        ({"password_expired": True, "activated": False}, "password_expired", "current"),
        ({"account_locked": True, "password_expired": True}, "locked", "current"),
        ({"state": "STAGED", "account_locked": True}, "staged", "current"),
        ({"state": "STAGED", "suspended": True}, "suspended", "past"),
        ({"state": "SUSPENDED", "suspended": False}, "suspended", "past"),
        ({"state": None, "suspended": None}, "active", "current"),
    ],
)
def test_the_first_status_that_holds_stands(columns: Row, status: str, lifecycle: str) -> None:
    row = account(user("u1", **columns))
    assert (row["status"], row["lifecycle"]) == (status, lifecycle)


def test_a_user_has_all_columns_that_are_relied_on() -> None:
    payload = user(
        "u1",
        firstname="Ann",
        lastname="",
        department="Ops",
        jobTitle="Chief",
        manager="u2",
        created="2020-02-03T04:05:06.789Z",
        employeeIdentifier="007",
        costCenter="",
        company="Acme",
        location="Bern",
    )
    (row,) = tables([snapshot(1, payload)])["users"]
    assert row == {
        "organization_id": ORG,
        "user_id": "u1",
        "account_type": "user",
        "email": "u1@x.io",
        "username": "u1",
        "first_name": "Ann",
        "last_name": None,
        "display_name": "Ann",
        "department": "Ops",
        "job_title": "Chief",
        "manager_id": "u2",
        "employee_id": "007",
        "cost_center": None,
        "company": "Acme",
        "location": "Bern",
        "created_at": datetime(2020, 2, 3, 4, 5, 6, 789_000),
        "state": "ACTIVATED",
        "status": "active",
        "lifecycle": "current",
        "roles": ["User"],
        "is_admin": False,
        "is_mfa_enabled": False,
        "groups": [],
        "application_count": 0,
        "last_used_at": None,
        "last_used_via": None,
        "last_portal_login_at": None,
        "last_sso_at": None,
        "usage_days_30d": None,
        "usage_state": "unknown",
        "idle_days": None,
        "first_seen_at": at(1),
        "last_seen_at": at(1),
        "deleted_at": None,
    }


def test_the_last_of_several_rows_with_one_id_stands() -> None:
    row = accounts(snapshot(1, user("u1", department="Old"), user("u1", department="New")))["u1"]
    assert row["department"] == "New"


def test_a_display_name_falls_back_to_names_then_username_then_email() -> None:
    full = {"displayname": "Boss", "firstname": "Ann", "lastname": "Lee"}
    assert account(user("u1", **full))["display_name"] == "Boss"
    assert account(user("u1", **full | {"displayname": ""}))["display_name"] == "Ann Lee"
    assert account(user("u1", firstname=None, lastname="Lee"))["display_name"] == "Lee"
    assert account(user("u1"))["display_name"] == "u1"
    assert account(user("u1", username=""))["display_name"] == "u1@x.io"


@pytest.mark.parametrize(
    ("columns", "is_enabled"),
    [
        ({}, False),
        ({"totp_enabled": True}, True),
        ({"mfa": {"configured": True}}, True),
        ({"mfa": None, "mfaEnrollment": {"overallStatus": "ENROLLED"}}, True),
        ({"totp_enabled": False, "mfaEnrollment": {"overallStatus": "IN_ENROLLMENT"}}, False),
        ({"enable_user_portal_multifactor": True}, False),
    ],
)
def test_mfa_is_enabled_by_any_of_three_fields(columns: Row, is_enabled: bool) -> None:
    assert account(user("u1", **columns))["is_mfa_enabled"] is is_enabled


def test_mfa_of_an_administrator_counts_only_without_a_user() -> None:
    enrolled = admin("a1", "u1@x.io", totpEnrolled=True)
    assert accounts(snapshot(1, admins=(enrolled,)))["a1"]["is_mfa_enabled"] is True
    assert account(user("u1"), enrolled)["is_mfa_enabled"] is False


# Deletion and return


def test_a_user_who_disappears_keeps_last_known_columns_but_neither_groups_nor_reach() -> None:
    bound: Row = {
        "apps": ({"_id": "p1"},),
        "usergroups": [{"id": "g1", "name": "All"}],
        "memberships": {"g1": ["u1"]},
        "application_groups": {"p1": ["g1"]},
    }
    there = snapshot(1, user("u1", department="Ops"), **bound, admins=(admin("a1", "U1@x.io", "Manager"),))
    rows = accounts(there, snapshot(2), snapshot(3, **bound))
    assert (rows["u1"]["status"], rows["u1"]["lifecycle"]) == ("deleted", "past")
    assert (rows["u1"]["department"], rows["u1"]["roles"], rows["u1"]["is_admin"]) == (
        "Ops",
        ["Manager"],
        True,
    )
    assert (rows["u1"]["groups"], rows["u1"]["application_count"]) == ([], 0)
    assert (rows["u1"]["last_seen_at"], rows["u1"]["deleted_at"]) == (at(1), at(2))


def test_a_user_who_returns_was_never_deleted_and_was_first_seen_long_ago() -> None:
    row = accounts(snapshot(1, user("u1")), snapshot(2), snapshot(3, user("u1")))["u1"]
    assert (row["status"], row["deleted_at"]) == ("active", None)
    assert (row["first_seen_at"], row["last_seen_at"]) == (at(1), at(3))


def test_snapshots_are_read_in_time_order_whatever_their_order() -> None:
    row = accounts(snapshot(2, user("u1", department="New")), snapshot(1, user("u1", department="Old")))["u1"]
    assert (row["department"], row["first_seen_at"]) == ("New", at(1))


def test_organizations_never_meet() -> None:
    other = snapshot(1, admins=(admin("a1", "u1@x.io", "Manager"),), organization_id="org2")
    rows = tables([snapshot(1, user("u1")), other])["users"]
    assert [(row["organization_id"], row["user_id"], row["roles"]) for row in rows] == [
        (ORG, "u1", ["User"]),
        ("org2", "a1", ["Manager"]),
    ]


# Administrators and roles


def test_an_administrator_belongs_to_the_user_with_its_email_in_lower_case() -> None:
    rows = accounts(snapshot(1, user("u1", email="ZOË@X.io"), admins=(admin("a1", "zoë@x.IO", "Manager"),)))
    assert list(rows) == ["u1"]
    assert (rows["u1"]["roles"], rows["u1"]["is_admin"]) == (["Manager"], True)


def test_the_alternate_email_does_not_count() -> None:
    rows = accounts(snapshot(1, user("u1", alternateEmail="b@x.io"), admins=(admin("a1", "b@x.io"),)))
    assert rows["u1"]["is_admin"] is False
    assert rows["a1"]["account_type"] == "admin"


def test_an_administrator_without_user_is_an_account_of_its_own() -> None:
    payload = admin("a1", "Boss@x.io", "Manager", firstname="Ann", lastname="Lee", username="x", suspended=True)
    row = accounts(snapshot(1, admins=(payload,)))["a1"]
    assert (row["account_type"], row["username"], row["display_name"]) == ("admin", None, "Ann Lee")
    assert (row["status"], row["lifecycle"], row["email"]) == ("suspended", "past", "Boss@x.io")
    assert (row["is_admin"], row["state"], row["groups"]) == (True, None, [])


def test_an_administrator_without_email_is_an_account_even_beside_a_user_without_email() -> None:
    rows = accounts(snapshot(1, user("u1", email=""), admins=(admin("a1", None),)))
    assert sorted(rows) == ["a1", "u1"]
    assert rows["u1"]["is_admin"] is False


def test_an_administrator_ceases_to_be_an_account_once_a_user_has_the_email() -> None:
    boss = admin("a1", "u1@x.io", "Manager")
    stories = [snapshot(1, admins=(boss,)), snapshot(2, user("u1"), admins=(boss,))]
    login = admin_login("e1", at(1, 1), id="a1", email="u1@x.io")
    result = tables(stories, [unit(1, login)])
    assert [row["user_id"] for row in result["users"]] == ["u1"]
    assert result["users"][0]["last_used_via"] == "admin_portal"
    versions = [(row["user_id"], row["valid_from"], row["valid_to"]) for row in result["user_history"]]
    assert versions == [("a1", at(1), at(2)), ("u1", at(2), None)]


def test_a_present_administrator_is_an_account_again_when_its_user_is_gone() -> None:
    boss = admin("a1", "u1@x.io", "Manager")
    rows = accounts(snapshot(1, user("u1"), admins=(boss,)), snapshot(2, admins=(boss,)))
    assert (rows["u1"]["status"], rows["u1"]["roles"]) == ("deleted", ["Manager"])
    assert (rows["a1"]["status"], rows["a1"]["first_seen_at"]) == ("active", at(1))


def test_a_removed_administrator_gives_a_present_user_nothing() -> None:
    rows = accounts(snapshot(1, user("u1"), admins=(admin("a1", "u1@x.io", "Manager"),)), snapshot(2, user("u1")))
    assert list(rows) == ["u1"]
    assert (rows["u1"]["roles"], rows["u1"]["is_admin"]) == (["User"], False)


def test_a_removed_administrator_without_user_is_a_deleted_account_with_its_roles() -> None:
    row = accounts(snapshot(1, admins=(admin("a1", "b@x.io", "Manager"),)), snapshot(2))["a1"]
    assert (row["status"], row["roles"], row["is_admin"], row["deleted_at"]) == (
        "deleted",
        ["Manager"],
        True,
        at(2),
    )


def test_a_suspended_administrators_roles_count() -> None:
    row = account(user("u1"), admin("a1", "u1@x.io", "Manager", suspended=True))
    assert (row["roles"], row["status"]) == (["Manager"], "active")


def test_roles_are_told_apart_in_lower_case_and_spelt_as_the_administrator_list_does() -> None:
    payload = user("u1", admin={"id": "a1", "roleName": "ADMINISTRATOR WITH BILLING", "roleNames": ["Help Desk"]})
    boss = admin("a1", "u1@x.io", "Administrator With Billing", "zoo", roleName="")
    assert account(payload, boss)["roles"] == ["Administrator With Billing", "Help Desk", "zoo"]


def test_roles_are_sorted_by_code_point() -> None:
    boss = admin("a1", "u1@x.io", "a", "Z", "Ä", "\U0001f600", "\uffee")
    assert account(user("u1"), boss)["roles"] == ["Z", "a", "Ä", "\uffee", "\U0001f600"]


def test_an_administrator_whose_role_nobody_names_is_unknown() -> None:
    assert account(user("u1", admin={}))["roles"] == ["Unknown"]
    assert account(user("u1", admin={}))["is_admin"] is True
    assert account(user("u1", admin=None))["roles"] == ["User"]
    assert account(user("u1"), admin("a1", "u1@x.io", roleName="", roleNames=None))["roles"] == ["Unknown"]
    assert accounts(snapshot(1, admins=(admin("a1", "b@x.io"),)))["a1"]["roles"] == ["Unknown"]
    assert account(user("u1", admin={"roleName": "Manager"}), admin("a1", "u1@x.io"))["roles"] == ["Manager"]


def test_of_several_administrators_with_one_email_the_greatest_id_stands() -> None:
    pair = (admin("a2", "U1@x.io", "Two"), admin("a1", "u1@x.io", "One"))
    assert account(user("u1"), *pair)["roles"] == ["Two"]


def test_groups_are_the_sorted_names_of_the_present() -> None:
    first = snapshot(1, user("u1"), usergroups=[{"id": "g1", "name": "Old"}], memberships={"g1": ["u1"]})
    second = snapshot(
        2,
        user("u1"),
        usergroups=[{"id": "g1", "name": "b"}, {"id": "g2", "name": "B"}, {"id": "g3", "name": "none of u1"}],
        memberships={"g1": ["u1", "u1"], "g2": ["u1"], "g9": ["u1"]},
    )
    assert accounts(first, second)["u1"]["groups"] == ["B", "b"]


# Actors


def test_a_user_is_found_by_id_and_the_id_wins_over_the_username() -> None:
    users = [snapshot(1, user("u1"), user("u2"))]
    assert actors(users, portal("e", at(1), id="u1", username="u2"), portal("e", at(1), id="zz", username="u2")) == [
        "u1",
        "zz",
    ]


def test_without_id_a_username_is_compared_exactly_then_in_lower_case() -> None:
    users = [snapshot(1, user("u1", username="Zoë"), user("u2", username="ZOË"))]
    exactly, alike = portal("e", at(1), id="", username="Zoë"), portal("e", at(1), username="zoë")
    # Two have it so in lower case: it is nobody's.
    assert actors(users, exactly, alike) == ["u1", None]
    assert actors([snapshot(1, user("u1", username="Zoë"))], alike) == ["u1"]


def test_a_username_in_lower_case_is_the_one_present_users_else_the_one_deleted_users() -> None:
    alike = portal("e", at(1), username="ZOE")
    gone, there = user("u1", username="zoe"), user("u2", username="Zoe")
    assert actors([snapshot(1, gone), snapshot(2, there)], alike) == ["u2"]
    assert actors([snapshot(1, gone), snapshot(2)], alike) == ["u1"]
    assert actors([snapshot(1, gone, there), snapshot(2)], alike) == [None]
    # An exact name of somebody who is gone comes before another spelling of somebody who is there.
    assert actors([snapshot(1, gone), snapshot(2, there)], portal("e", at(1), username="zoe")) == ["u1"]


def test_a_username_that_nobody_has_gives_way_to_the_email_and_then_is_one_itself() -> None:
    users = [snapshot(1, user("u1"), user("u2"))]
    both = portal("e", at(1), username="U1@x.io", email="u2@X.io")
    assert actors(users, both, portal("e", at(1), username="U1@x.io", email="zz@x.io")) == ["u2", "u1"]
    assert actors(users, portal("e", at(1), username="U1@x.io"), portal("e", at(1), username="zz")) == ["u1", None]


def test_an_email_leads_to_users_only_and_never_by_the_alternate_one() -> None:
    users = [snapshot(1, user("u1", alternateEmail="b@x.io"), admins=(admin("a1", "c@x.io"),))]
    assert actors(users, portal("e", at(1), email="b@x.io"), portal("e", at(1), email="c@x.io")) == [None, None]
    assert actors([snapshot(1, user("u1")), snapshot(2)], portal("e", at(1), email="u1@x.io")) == ["u1"]
    heir = user("u2", email="u1@x.io")
    assert actors([snapshot(1, user("u1")), snapshot(2, heir)], portal("e", at(1), email="u1@x.io")) == ["u2"]


def test_accounts_created_on_a_later_day_are_left_out_at_every_door_before_anybody_is_looked_for() -> None:
    late = {"created": "2026-01-02T00:00:00Z"}
    old, new = user("u1", username="Zoe", email="z@x.io"), user("u2", username="zoe", email="Z@x.io", **late)
    users = [snapshot(1, old, new)]
    doors: list[Row] = [{"username": "zoe"}, {"username": "ZOE"}, {"email": "z@x.io"}, {"username": "Z@X.IO"}]
    assert actors(users, *(portal("e", at(1), **door) for door in doors)) == ["u1"] * 4
    assert actors(users, admin_login("e", at(1), email="z@x.io")) == ["u1"]
    assert actors(users, portal("e", at(1), id="u2"), admin_login("e", at(1), id="u2")) == ["u2", "u2"]
    # Created within the event's day: it may be meant.
    today = [snapshot(1, user("u2", username="zoe", created="2026-01-01T23:59:59.999999999Z"))]
    assert actors(today, portal("e", at(1), username="zoe")) == ["u2"]
    bosses = (admin("a2", "b@x.io", **late), admin("a1", "B@x.io"))
    assert actors([snapshot(1, admins=bosses)], admin_login("e", at(1), email="b@x.io")) == ["a1"]


def test_a_username_leads_to_a_present_user_before_a_deleted_one() -> None:
    users = [snapshot(1, user("u9", username="zoe")), snapshot(2, user("u1", username="zoe"))]
    assert actors(users, portal("e", at(1), username="zoe")) == ["u1"]


def test_of_deleted_users_with_one_username_the_last_seen_stands_then_the_greatest_id() -> None:
    pair = [user("u1", username="zoe"), user("u2", username="zoe")]
    assert actors([snapshot(1, *pair), snapshot(2)], portal("e", at(1), username="zoe")) == ["u2"]
    later = [snapshot(1, *pair), snapshot(2, pair[0]), snapshot(3)]
    assert actors(later, portal("e", at(1), username="zoe")) == ["u1"]


def test_resource_names_the_actor_where_initiated_by_is_missing_or_empty() -> None:
    users = [snapshot(1, user("u1"), user("u2"))]
    older = portal("e", at(1)) | {"resource": {"type": "user", "id": "u2"}}
    empty = portal("e", at(1), id="", username=None, email="") | {"resource": {"username": "u2"}}
    named = portal("e", at(1), id="u1") | {"resource": {"id": "u2"}}
    missing = {key: value for key, value in older.items() if key != "initiated_by"}
    assert actors(users, older, empty, named, missing) == ["u2", "u2", "u1", "u2"]


def test_an_admin_login_leads_by_email_to_the_present_user_then_the_administrator_then_a_deleted_user() -> None:
    gone, boss = user("u1", email="b@x.io"), admin("a1", "B@x.io")
    login = admin_login("e", at(1), id="zz", email="b@X.io")
    assert actors([snapshot(1, gone), snapshot(2, admins=(boss,)), snapshot(3, gone)], login) == ["u1"]
    assert actors([snapshot(1, gone), snapshot(2, admins=(boss,))], login) == ["a1"]
    assert actors([snapshot(1, gone), snapshot(2, admins=(boss,)), snapshot(3)], login) == ["a1"]
    assert actors([snapshot(1, gone), snapshot(2)], login) == ["u1"]


def test_an_admin_login_without_a_helpful_email_goes_by_that_of_the_administrator_with_the_id() -> None:
    directory = [snapshot(1, user("u1"), admins=(admin("a1", "U1@x.io"),)), snapshot(2, user("u1"))]
    without = admin_login("e", at(1), id="a1")
    unheard = admin_login("e", at(1), id="a1", email="former@x.io")
    assert actors(directory, without, unheard) == ["u1", "u1"]


def test_an_admin_login_that_no_email_explains_is_its_id_or_nobody() -> None:
    directory = [snapshot(1, user("u1"), admins=(admin("a1", None),))]
    by_id = admin_login("e", at(1), id="a1")
    stranger = admin_login("e", at(1), id="zz", email="zz@x.io")
    unknown = admin_login("e", at(1), False, email="zz@x.io")
    assert actors(directory, by_id, stranger, unknown) == ["a1", "zz", None]


def test_a_present_administrator_stands_before_a_removed_one_with_the_greater_id() -> None:
    directory = [snapshot(1, admins=(admin("a9", "b@x.io"),)), snapshot(2, admins=(admin("a1", "b@x.io"),))]
    assert actors(directory, admin_login("e", at(1), email="b@x.io")) == ["a1"]


# Usage


def test_groups_are_those_of_the_latest_snapshot() -> None:
    first = snapshot(1, user("u1"), usergroups=[{"id": "g1", "name": "Old"}, {"id": "g2", "name": "Gone"}])
    second = snapshot(2, user("u1"), usergroups=[{"id": "g3", "name": ""}, {"id": "g1", "name": "New"}])
    assert tables([first, second])["groups"] == [
        {"organization_id": ORG, "group_id": "g1", "name": "New"},
        {"organization_id": ORG, "group_id": "g3", "name": None},
    ]


def test_usage_is_counted_by_day_user_application_and_source() -> None:
    events = [
        sso("e1", at(1, 3), "p1", id="u1"),
        sso("e2", at(1, 2), "p1", id="u1"),
        sso("e3", at(1, 1), "p1", False, id="u1"),
        sso("e4", at(1, 4), "p1", False, id="zz"),
    ]
    common = {"organization_id": ORG, "date": date(2026, 1, 1), "application_id": "p1", "source": "sso"}
    assert tables([snapshot(1, user("u1"))], [unit(1, *events)])["usage_daily"] == [
        {**common, "user_id": "u1", "successes": 2, "failures": 1, "first_at": at(1, 2), "last_at": at(1, 3)},
        {**common, "user_id": "zz", "successes": 0, "failures": 1, "first_at": None, "last_at": None},
    ]


def test_the_course_of_usage_is_counted_by_day_source_and_application() -> None:
    events = [
        sso("e1", at(1, 3), "p1", id="u1"),
        sso("e2", at(1, 2), "p1", id="u1"),
        sso("e3", at(1, 1), "p1", id="zz"),
        sso("e4", at(1, 4), "p1", False, id="u2"),
        portal("e5", at(1, 5)),
    ]
    common = {"organization_id": ORG, "date": date(2026, 1, 1)}
    assert tables([snapshot(1, user("u1"))], [unit(1, *events)])["usage_by_day"] == [
        {**common, "source": "sso", "application_id": "p1", "users": 2, "successes": 3, "failures": 1},
        # Somebody who cannot be found is nobody.
        {**common, "source": "user_portal", "application_id": None, "users": 0, "successes": 1, "failures": 0},
    ]


def test_an_event_without_outcome_counts_neither_way() -> None:
    wrong_field = sso("e2", at(1), "p1", None, id="u1") | {"success": True}
    other_field = portal("e3", at(1), None, id="u1") | {"sso_token_success": True}
    result = tables([], [unit(1, portal("e1", at(1), None, id="u1"), wrong_field, other_field)])
    assert result["usage_daily"] == []
    assert [row["is_success"] for row in result["events"]] == [None, None, None]


@pytest.mark.parametrize("message", [None, ""])
def test_a_sign_on_that_failed_without_a_message_is_a_step_and_no_failure(message: str | None) -> None:
    step = sso("e1", at(1), "p1", False, id="u1") | {"error_message": message}
    result = tables([snapshot(1, user("u1"))], [unit(1, step, sso("e2", at(1), "p1", False, id="u1"))])
    assert [(row["successes"], row["failures"]) for row in result["usage_daily"]] == [(0, 1)]
    assert [(row["is_success"], row["error_message"]) for row in result["events"]] == [(None, None), (False, "denied")]


def test_a_message_does_not_make_a_success_of_an_sso_token_a_failure_nor_is_a_login_without_one_a_step() -> None:
    warned = sso("e1", at(1), "p1", True, id="u1") | {"error_message": "slow"}
    result = tables([], [unit(1, warned, portal("e2", at(1), False, id="u1"))])
    assert [row["is_success"] for row in result["events"]] == [True, False]


@pytest.mark.parametrize(
    ("value", "is_success"), [("true", True), ("false", False), ("True", None), ("", None), (1, None)]
)
def test_the_outcome_may_be_the_text_true_or_false(value: Any, is_success: bool | None) -> None:
    login = portal("e1", at(1), None, id="u1") | {"success": value}
    signed_on = sso("e2", at(1), "p1", False, id="u1") | {"sso_token_success": value}
    result = tables([], [unit(1, login, signed_on)])
    assert [row["is_success"] for row in result["events"]] == [is_success, is_success]


def test_other_event_types_are_events_but_no_usage() -> None:
    ldap = portal("e1", at(1), id="u1") | {"event_type": "ldap_bind", "service": "ldap"}
    result = tables([], [unit(1, ldap)])
    assert result["usage_daily"] == []
    assert result["events"] == [
        {
            "organization_id": ORG,
            "date": date(2026, 1, 1),
            "event_id": "e1",
            "event_type": "ldap_bind",
            "service": "ldap",
            "event_at": at(1),
            "user_id": "u1",
            "application_id": None,
            "is_success": True,
            "error_message": None,
        }
    ]


def test_a_sign_on_to_an_empty_application_is_the_users_but_no_applications() -> None:
    event = sso("e1", at(1), "", id="u1") | {"application": {"id": "", "name": "", "display_label": ""}}
    result = tables([snapshot(1, user("u1"))], [unit(1, event)])
    assert [(row["application_id"], row["source"]) for row in result["usage_daily"]] == [(None, "sso")]
    assert (result["applications"], result["application_users"]) == ([], [])
    assert result["users"][0]["last_sso_at"] == at(1)


def test_a_portal_has_no_application_even_where_the_event_names_one() -> None:
    event = portal("e1", at(1), id="u1") | {"application": {"id": "p1", "name": "x"}}
    result = tables([], [unit(1, event)])
    assert result["usage_daily"][0]["application_id"] is None
    assert result["events"][0]["application_id"] == "p1"
    assert result["applications"] == []


def test_of_several_uses_at_one_instant_sso_comes_before_user_portal_before_admin_portal() -> None:
    directory = snapshot(1, user("u1"))
    by_admin, by_user = admin_login("e1", at(1, 5), email="u1@x.io"), portal("e2", at(1, 5), id="u1")
    by_sso = sso("e3", at(1, 5), "p1", id="u1")
    for events, via in (((by_admin, by_user, by_sso), "sso"), ((by_admin, by_user), "user_portal")):
        assert accounts(directory, units=[unit(1, *events)])["u1"]["last_used_via"] == via


def test_the_last_portal_login_covers_both_portals_and_failures_are_no_use() -> None:
    events = [
        portal("e1", at(1, 1), id="u1"),
        admin_login("e2", at(1, 2), email="U1@X.IO"),
        sso("e3", at(1, 1), "p1", id="u1"),
        sso("e4", at(1, 9), "p1", False, id="u1"),
    ]
    row = accounts(snapshot(1, user("u1")), units=[unit(1, *events)])["u1"]
    assert (row["last_portal_login_at"], row["last_sso_at"]) == (at(1, 2), at(1, 1))
    assert (row["last_used_at"], row["last_used_via"], row["usage_state"]) == (
        at(1, 2),
        "admin_portal",
        "used",
    )


def test_a_deleted_account_keeps_its_usage() -> None:
    units = [unit(1, portal("e1", at(1), username="u1"))]
    row = accounts(snapshot(1, user("u1")), snapshot(2), units=units)["u1"]
    assert (row["status"], row["last_used_at"], row["usage_days_30d"]) == ("deleted", at(1), 1)


# Events: time, strays, duplicates


def test_the_last_nanosecond_of_a_day_stays_in_that_day() -> None:
    events = tables([], [unit(1, portal("e1", "2026-01-01T23:59:59.999999999Z", id="u1"))])["events"]
    assert [(row["date"], row["event_at"]) for row in events] == [
        (date(2026, 1, 1), datetime(2026, 1, 1, 23, 59, 59, 999_999))
    ]


def test_an_event_exactly_at_the_end_belongs_to_the_next_interval_only() -> None:
    edge = portal("e1", at(2), id="u1")
    assert tables([], [unit(1, edge)])["events"] == []
    result = tables([], [unit(1, edge), unit(2, edge)])
    assert [row["date"] for row in result["events"]] == [date(2026, 1, 2)]
    assert [row["events"] for row in result["usage_coverage"]] == [0, 1]


def test_strays_of_past_and_future_are_ignored_and_begin_no_coverage() -> None:
    strays = [portal("e1", at(400), id="u1"), portal("e2", at(1) - timedelta(microseconds=1), id="u1")]
    result = tables([snapshot(1, user("u1"))], [unit(1, *strays)])
    assert (result["events"], result["usage_daily"]) == ([], [])
    assert result["usage_coverage"][0]["outcome"] == "unverified"
    assert result["organizations"][0]["usage_state"] == "unknown"


def test_a_stray_copy_of_a_later_extraction_does_not_hide_the_event() -> None:
    event = portal("e1", at(1, 5), id="u1")
    result = tables([], [unit(1, event), unit(2, event)])
    assert [row["date"] for row in result["events"]] == [date(2026, 1, 1)]


def test_an_event_of_two_overlapping_units_counts_once_as_last_extracted() -> None:
    early = unit(1, portal("e1", at(1, 5), False, id="u1"), extracted=at(3))
    late = Unit(ORG, at(1, 4), at(1, 6), at(4), [portal("e1", at(1, 5), True, id="u1")])
    for units in ([early, late], [late, early]):
        result = tables([], units)
        assert [row["is_success"] for row in result["events"]] == [True]
        assert [(row["successes"], row["failures"]) for row in result["usage_daily"]] == [(1, 0)]


def test_one_event_id_with_two_dates_is_two_events_and_two_uses() -> None:
    units = [unit(1, portal("e1", at(1, 5), id="u1")), unit(2, portal("e1", at(2, 5), id="u1"))]
    result = tables([], units)
    assert [row["date"] for row in result["events"]] == [date(2026, 1, 1), date(2026, 1, 2)]
    assert [row["date"] for row in result["usage_daily"]] == [date(2026, 1, 1), date(2026, 1, 2)]


def test_one_event_id_in_two_organizations_counts_in_both() -> None:
    event = portal("e1", at(1), id="u1")
    rows = tables([], [unit(1, event), unit(1, event, org="org2")])["usage_daily"]
    assert [row["organization_id"] for row in rows] == [ORG, "org2"]


def test_an_interval_that_comes_back_with_fewer_events_leaves_what_landed() -> None:
    events = [portal("e1", at(1, 1), id="u1"), portal("e2", at(1, 2), id="u1")]
    units = [unit(1, *events, extracted=at(2)), unit(1, events[0], extracted=at(99))]
    result = tables([], units)
    assert [row["event_id"] for row in result["events"]] == ["e1", "e2"]
    assert len(result["usage_coverage"]) == 1


def test_a_unit_that_is_read_again_is_what_has_landed_and_what_was_received_by_event_id() -> None:
    before = unit(1, portal("e1", at(1, 1), id="u1"), portal("e2", at(1, 2), id="u1"), extracted=at(2))
    after = unit(1, portal("e2", at(1, 3), False, id="u2"), portal("e3", at(1, 4), id="u1"), extracted=at(3))
    for units in ([before, after], [after, before]):
        result = tables([], units)
        assert [(row["event_id"], row["event_at"], row["is_success"]) for row in result["events"]] == [
            ("e1", at(1, 1), True),
            ("e2", at(1, 3), False),
            ("e3", at(1, 4), True),
        ]
        assert [row["events"] for row in result["usage_coverage"]] == [3]


def test_a_later_copy_that_is_a_stray_takes_the_place_of_the_one_inside_and_one_at_the_end_does_not() -> None:
    before = unit(1, portal("e1", at(1, 1)), portal("e2", at(1, 1)), extracted=at(2))
    after = unit(1, portal("e1", at(5)), portal("e2", at(2)), extracted=at(3))
    assert [row["event_id"] for row in tables([], [before, after])["events"]] == ["e2"]


@pytest.mark.parametrize(
    ("readings", "is_whole"),
    [
        ([("ab", False), ("abc", True)], True),
        ([("ab", False), ("ac", True)], False),
        ([("a", False), ("", True)], False),
        ([("", False), ("", True)], False),
        ([("", False), ("a", True)], True),
        ([("ab", True), ("a", False)], True),
        ([("ab", True), ("", True)], True),
        ([("a", False), ("b", True), ("ab", True)], True),
    ],
)
def test_a_unit_is_whole_once_a_whole_reading_had_all_that_had_landed_and_not_because_nothing_is_left(
    readings: list[tuple[str, bool]], is_whole: bool
) -> None:
    units = [
        Unit(ORG, at(2), at(3), at(4 + number), [portal(one, at(2, 1)) for one in ids], is_whole=agreed)
        for number, (ids, agreed) in enumerate(readings)
    ]
    result = tables([], [unit(1, portal("first", at(1))), *units])
    assert [row["outcome"] for row in result["usage_coverage"]] == ["ok", "ok" if is_whole else "incomplete"]
    assert result["organizations"][0]["known_days"] == (2 if is_whole else 1)


@pytest.mark.parametrize(
    ("readings", "covers"),
    [
        ([(("directory",), True), (("directory", "sso"), False)], False),
        ([(("directory",), False), (("directory", "sso"), True)], True),
        ([(("directory",), True), (("sso",), True)], True),
        ([(("directory", "sso"), False), (("directory",), True)], False),
        ([(("directory", "sso"), True), (("directory",), False)], True),
    ],
)
def test_a_unit_covers_with_the_services_of_its_whole_readings(
    readings: list[tuple[tuple[str, ...], bool]], covers: bool
) -> None:
    units = [
        Unit(ORG, at(1), at(2), at(4 + number), [portal("e1", at(1))], services, is_whole=agreed)
        for number, (services, agreed) in enumerate(readings)
    ]
    assert tables([], units)["organizations"][0]["known_days"] == int(covers)


def test_an_empty_unit_is_beyond_retention_where_every_reading_of_it_began_before() -> None:
    cut, seen = (
        Unit(ORG, at(2), at(3), extracted, [], began_before_retention=began)
        for extracted, began in ((at(90), True), (at(4), False))
    )
    first = unit(1, portal("e1", at(1)))
    for readings, outcome in (([cut, cut], "unverified"), ([cut, seen], "ok")):
        assert tables([], [first, *readings])["usage_coverage"][1]["outcome"] == outcome


def test_of_copies_in_one_unit_the_later_stands_then_the_success_then_what_they_say_in_whatever_order_they_come() -> (
    None
):
    earlier, failed = portal("e1", at(1, 3), id="u9"), portal("e1", at(1, 5), False, id="u9")
    silent, nobody = portal("e1", at(1, 5), None, id="u9"), portal("e1", at(1, 5))
    of_u1, of_u2 = portal("e1", at(1, 5), id="u1"), portal("e1", at(1, 5), id="u2")
    stands = [of_u2, of_u1, nobody, failed, silent, earlier]
    for first, event in enumerate(stands):
        for copies in itertools.permutations(stands[first : first + 4]):
            (row,) = tables([], [unit(1, *copies)])["events"]
            user_id = event["initiated_by"].get("id")
            assert (row["event_at"], row["is_success"], row["user_id"]) == (
                moment(event["timestamp"]),
                event.get("success"),
                user_id,
            )


def test_of_copies_that_name_one_person_the_greater_application_stands_and_an_empty_name_is_more_than_none() -> None:
    wiki, mail = sso("e1", at(1), "wiki", id="u1"), sso("e1", at(1), "mail", id="u1")
    empty = {**mail, "application": {"id": "mail", "name": "", "sso_type": "oidc"}}
    unnamed = {**mail, "application": {"id": "mail", "name": None, "sso_type": "saml"}}
    for copies in itertools.permutations([wiki, mail, empty, unnamed]):
        assert [row["application_id"] for row in tables([], [unit(1, *copies)])["usage_daily"]] == ["wiki"]
    for copies in itertools.permutations([empty, unnamed]):
        assert [row["sso_type"] for row in tables([], [unit(1, *copies)])["applications"]] == ["oidc"]


# Coverage and usage state


def test_coverage_begins_with_the_first_unit_that_holds_an_event_of_any_type() -> None:
    other = portal("e1", at(2, 5)) | {"event_type": "group_create"}
    result = tables([], [unit(1), unit(2, other, other), unit(3)])
    (organization,) = result["organizations"]
    assert (organization["usage_state"], organization["usage_from"], organization["usage_until"]) == (
        "available",
        at(2),
        at(4),
    )
    assert [(row["events"], row["outcome"]) for row in result["usage_coverage"]] == [
        (0, "unverified"),
        (1, "ok"),
        (0, "ok"),
    ]


def test_an_organization_without_a_single_event_is_unknown() -> None:
    result = tables([snapshot(1, user("u1"))], [unit(1)])
    (organization,) = result["organizations"]
    assert (organization["usage_state"], organization["usage_from"], organization["usage_until"]) == (
        "unknown",
        None,
        None,
    )
    assert result["users"][0]["usage_state"] == "unknown"
    assert result["usage_coverage"] == [
        {
            "organization_id": ORG,
            "interval_start": at(1),
            "interval_end": at(2),
            "events": 0,
            "outcome": "unverified",
        }
    ]


def test_where_usage_became_unavailable_known_use_stays_and_the_rest_is_unknown() -> None:
    directory = snapshot(1, user("u1"), user("u2"), apps=({"_id": "p1"},), application_users={"p1": ["u1", "u2"]})
    result = tables([directory], [unit(1, sso("e1", at(1), "p1", id="u1"))], "unavailable")
    assert result["organizations"][0]["usage_state"] == "unavailable"
    assert result["organizations"][0]["usage_until"] == at(2)
    assert [(row["usage_state"], row["usage_days_30d"]) for row in result["users"]] == [
        ("used", 1),
        ("unknown", None),
    ]
    (application,) = result["applications"]
    assert (application["usage_state"], application["users_never_used"]) == ("used", None)


def test_never_used_is_said_only_where_usage_is_available() -> None:
    directory = snapshot(1, user("u1"), user("u2"))
    rows = accounts(directory, units=[unit(1, portal("e1", at(1), id="u1"))])
    assert (rows["u2"]["usage_state"], rows["u2"]["usage_days_30d"]) == ("never_used", None)


def test_rolling_columns_count_whole_days_back_from_the_last_covered_instant() -> None:
    days = (10, 11, 70, 71, 100)  # D is day 100: 30 days begin with day 71, 90 days with day 11
    units = [
        unit(day, sso(f"e{day}", at(day), "p1", id="u1"), sso(f"f{day}", at(day, 1), "p1", id="u1")) for day in days
    ]
    result = tables([snapshot(1, user("u1"))], units)
    (row,) = result["application_users"]
    assert (row["uses_30d"], row["uses_90d"], row["usage_days_30d"]) == (4, 8, 2)
    assert (row["first_used_at"], row["last_used_at"]) == (at(10), at(100, 1))
    assert result["users"][0]["usage_days_30d"] == 2


def test_a_coverage_that_ends_within_a_day_counts_that_day() -> None:
    units = [
        unit(1, portal("e1", at(1), id="u1")),
        Unit(ORG, at(30), at(30, 12), at(31), [portal("e2", at(30, 1), id="u1")]),
    ]
    assert accounts(snapshot(1, user("u1")), units=units)["u1"]["usage_days_30d"] == 2
    later = [*units, Unit(ORG, at(31), at(31) + timedelta(microseconds=1), at(32), [])]
    assert accounts(snapshot(1, user("u1")), units=later)["u1"]["usage_days_30d"] == 1


# The known range


def test_the_known_range_is_the_stretch_without_gap_that_ends_last() -> None:
    event = portal("e1", at(1), id="u1")
    result = tables([snapshot(1, user("u1"), user("u2"))], [unit(1, event), unit(2), unit(4), unit(5)])
    (organization,) = result["organizations"]
    assert (organization["usage_from"], organization["usage_until"], organization["known_days"]) == (at(4), at(6), 2)
    days = [(row["date"].day, row["covered_seconds"], row["is_known"]) for row in result["usage_coverage_daily"]]
    assert days == [(1, 86400, False), (2, 86400, False), (3, 0, False), (4, 86400, True), (5, 86400, True)]
    # What was used before the gap is used all the same; what was not is said of the stretch only.
    assert [(row["usage_state"], row["idle_days"]) for row in result["users"]] == [("used", 2), ("never_used", 2)]


def test_units_that_overlap_or_touch_are_one_stretch_and_a_microsecond_is_a_gap() -> None:
    def stretch(*bounds: tuple[datetime, datetime]) -> Row:
        units = [Unit(ORG, start, end, at(9), [portal("e", start, id="u1")]) for start, end in bounds]
        result = tables([], units)
        known = result["organizations"][0]
        return {**known, "days": [row["covered_seconds"] for row in result["usage_coverage_daily"]]}

    touching = stretch((at(1), at(2)), (at(1, 6), at(1, 8)), (at(2), at(2, 12)))
    assert (touching["usage_from"], touching["known_days"], touching["days"]) == (at(1), 1, [86400, 43200])
    apart = stretch((at(1), at(2) - timedelta(microseconds=1)), (at(2), at(3)))
    assert (apart["usage_from"], apart["known_days"], apart["days"]) == (at(2), 1, [86399, 86400])
    halves = stretch((at(1, 12), at(2, 12)))
    assert (halves["known_days"], halves["days"]) == (0, [43200, 43200])


@pytest.mark.parametrize(
    ("services", "covers"),
    [(("sso", "directory", "ldap"), True), (("all",), True), (("sso",), False), (("directory", "radius"), False)],
)
def test_a_unit_that_lacks_directory_or_sso_covers_nothing_but_counts(services: tuple[str, ...], covers: bool) -> None:
    landed = Unit(ORG, at(1), at(2), at(3), [sso("e1", at(1), "p1", id="u1")], services)
    result = tables([snapshot(1, user("u1"), user("u2"))], [landed])
    (organization,) = result["organizations"]
    assert (organization["usage_state"], organization["known_days"]) == ("available", int(covers))
    assert [row["usage_state"] for row in result["users"]] == ["used", "never_used" if covers else "unknown"]
    assert [row["idle_days"] for row in result["users"]] == [1 if covers else None] * 2
    assert [row["uses_30d"] for row in result["application_users"]] == [1 if covers else None]
    assert len(result["usage_coverage_daily"]) == int(covers)


def test_an_incomplete_unit_covers_nothing_though_its_events_count_and_verify_others() -> None:
    partly = Unit(ORG, at(1), at(2), at(3), [portal("e1", at(1), id="u1")], is_whole=False)
    result = tables([snapshot(1, user("u1"), user("u2"))], [partly, unit(2)])
    assert [row["outcome"] for row in result["usage_coverage"]] == ["incomplete", "ok"]
    (organization,) = result["organizations"]
    assert (organization["usage_state"], organization["usage_from"]) == ("available", at(2))
    assert [(row["usage_state"], row["idle_days"]) for row in result["users"]] == [("used", 1), ("never_used", 1)]
    (alone,) = tables([], [partly])["organizations"]
    assert (alone["usage_state"], alone["usage_from"], alone["known_days"]) == ("available", None, 0)


def test_an_empty_unit_that_began_before_the_retention_is_a_gap() -> None:
    cut = Unit(ORG, at(2), at(3), at(90), [], began_before_retention=True)
    result = tables([], [unit(1, portal("e1", at(1), id="u1")), cut, unit(3)])
    assert [row["outcome"] for row in result["usage_coverage"]] == ["ok", "unverified", "ok"]
    assert result["organizations"][0]["usage_from"] == at(3)
    filled = Unit(ORG, at(2), at(3), at(90), [portal("e2", at(2), id="u1")], began_before_retention=True)
    assert tables([], [unit(1, portal("e1", at(1))), filled])["organizations"][0]["usage_from"] == at(1)


def test_zero_is_said_only_where_the_whole_window_is_known_and_a_count_stands() -> None:
    directory = snapshot(
        1,
        user("u1"),
        user("u2"),
        apps=({"_id": "p1", "sso": {"type": "SAML"}},),
        application_users={"p1": ["u1", "u2"]},
    )
    event = sso("e1", at(30, 5), "p1", id="u1")
    exactly = tables([directory], [unit(1, event, days=30)])
    assert [(row["uses_30d"], row["uses_90d"]) for row in exactly["application_users"]] == [(1, 1), (0, None)]
    short = tables([directory], [Unit(ORG, at(1, 1), at(31), at(31), [event])])
    assert [(row["uses_30d"], row["usage_days_30d"]) for row in short["application_users"]] == [(1, 1), (None, None)]
    assert [row["usage_days_30d"] for row in short["users"]] == [1, None]


def test_idle_days_count_from_the_latest_of_use_known_range_creation_and_access() -> None:
    directory = [
        snapshot(1, user("u1"), apps=({"_id": "p1"},)),
        snapshot(
            20,
            user("u1"),
            user("u2", created=stamp(at(15, 13))),
            user("u3"),
            user("u4"),
            apps=({"_id": "p1"},),
            application_users={"p1": ["u1", "u2", "u3"]},
        ),
    ]
    events = [sso("e1", at(25, 1), "p1", id="u1"), portal("e2", at(40, 1), id="u3"), sso("e3", at(9), "p1", id="u4")]
    units = [unit(1, *events, days=30), Unit(ORG, at(40), at(41), at(90), [events[1]], ("directory",))]
    result = tables(directory, units)
    idle = {row["user_id"]: row["idle_days"] for row in result["users"]}
    # Until the first instant of day 31. Use after it is no idleness of minus nine days.
    assert idle == {"u1": 5, "u2": 15, "u3": 0, "u4": 22}
    assert [(row["user_id"], row["idle_days"]) for row in result["application_users"]] == [
        ("u1", 5),
        ("u2", 11),
        ("u3", 11),
        ("u4", None),
    ]
    (application,) = result["applications"]
    assert (application["users_idle_30d"], application["users_idle_90d"]) == (0, None)


def test_deleted_accounts_are_idle_as_others_are() -> None:
    rows = accounts(snapshot(1, user("u1")), snapshot(2), units=[unit(1, portal("e1", at(1), id="u1"), days=9)])
    assert (rows["u1"]["status"], rows["u1"]["idle_days"]) == ("deleted", 9)


def test_those_with_access_are_idle_for_thirty_days_only_where_so_many_are_known() -> None:
    directory = snapshot(
        1, user("u1"), user("u2"), user("u3", suspended=True), apps=({"_id": "p1"},),
        application_users={"p1": ["u1", "u2", "u3"]},
    )  # fmt: skip
    events = [sso("e1", at(1), "p1", id="u1"), sso("e2", at(2), "p1", id="u2")]
    (known,) = tables([directory], [unit(1, *events, days=30)])["applications"]
    assert (known["users_idle_30d"], known["users_idle_90d"], known["users_never_used"]) == (2, None, 1)
    short = [Unit(ORG, at(1), at(31) - timedelta(microseconds=1), at(31), events)]
    assert tables([directory], short)["applications"][0]["users_idle_30d"] is None
    taken_away = tables([directory], [unit(1, *events, days=30)], "unavailable")["applications"][0]
    assert (taken_away["users_idle_30d"], taken_away["users_never_used"]) == (None, None)


@pytest.mark.parametrize(
    ("sso_type", "is_measured"), [("saml", True), ("OIDC", True), ("bookmark", False), ("", False), (None, False)]
)
def test_use_of_bookmarks_and_imports_is_unknown_until_a_sign_on_names_them(
    sso_type: str | None, is_measured: bool
) -> None:
    app = {"_id": "p1", "sso": {"type": sso_type}}
    directory = snapshot(1, user("u1"), apps=(app,), application_users={"p1": ["u1"]})
    result = tables([directory], [unit(1, portal("e1", at(1), id="zz"), days=90)])
    (application,), (pair,) = result["applications"], result["application_users"]
    state, count, idle = ("never_used", 1, 90) if is_measured else ("unknown", None, None)
    assert (application["is_measured"], application["usage_state"], pair["usage_state"]) == (is_measured, state, state)
    assert [application[f"users_{name}"] for name in ("never_used", "idle_30d", "idle_90d")] == [count] * 3
    assert (pair["idle_days"], pair["uses_30d"]) == (idle, 0 if is_measured else None)
    # A failure says as well that use is seen.
    named = tables([directory], [unit(1, sso("e1", at(1), "p1", False, id="zz"), days=90)])
    assert (named["applications"][0]["is_measured"], named["applications"][0]["users_idle_90d"]) == (True, 1)


# Organizations


def test_an_organization_without_name_is_called_by_its_id() -> None:
    unnamed = snapshot(1, organization={"_id": ORG, "displayName": None})
    (row,) = tables([unnamed, snapshot(3, organization={"displayName": ""})])["organizations"]
    assert row == {
        "organization_id": ORG,
        "organization_name": ORG,
        "connection_id": "jumpcloud_default",
        "usage_state": "unknown",
        "usage_from": None,
        "usage_until": None,
        "known_days": 0,
        "directory_first_synced_at": at(1),
        "directory_synced_at": at(3),
    }


# Applications


def test_an_application_is_called_as_its_users_see_it() -> None:
    listed = (
        {
            "_id": "p1",
            "displayLabel": "Ours",
            "displayName": "Catalog",
            "name": "slug",
            "sso": {"type": "saml"},
        },
        {"_id": "p2", "displayLabel": "", "displayName": None, "name": "slug", "active": False, "sso": None},
    )
    rows = tables([snapshot(1, apps=listed)])["applications"]
    assert [(row["name"], row["catalog_name"], row["sso_type"], row["is_active"]) for row in rows] == [
        ("Ours", "Catalog", "saml", None),
        ("slug", "slug", None, False),
    ]


def test_a_deleted_application_keeps_row_and_usage_but_has_no_access() -> None:
    bound: Row = {"application_users": {"p1": ["u1"]}}
    there = snapshot(1, user("u1"), apps=({"_id": "p1", "name": "x", "active": True},), **bound)
    result = tables([there, snapshot(2, user("u1"), **bound)], [unit(1, sso("e1", at(1), "p1", id="u1"))])
    (row,) = result["applications"]
    assert (row["name"], row["is_listed"], row["is_active"], row["deleted_at"]) == ("x", False, True, at(2))
    assert (row["users_with_access"], row["users_never_used"], row["users_active_30d"]) == (0, 0, 1)
    assert [row["access"] for row in result["application_users"]] == ["none"]
    assert result["users"][0]["application_count"] == 0


def test_an_application_that_only_events_name_is_as_its_latest_sign_on_has_it() -> None:
    early = sso("e2", at(1, 1), "p1", id="u1")
    late = sso("e1", at(1, 2), "p1", False, id="u2")
    late["application"] = {"id": "p1", "display_label": "", "name": "slug", "sso_type": "oidc"}
    (row,) = tables([snapshot(1, user("u1"))], [unit(1, late, early)])["applications"]
    assert row == {
        "organization_id": ORG,
        "application_id": "p1",
        "name": "slug",
        "catalog_name": "slug",
        "sso_type": "oidc",
        "is_active": None,
        "is_listed": False,
        "created_at": None,
        "is_measured": True,
        "users_with_access": 0,
        "users_active_30d": 1,
        "users_never_used": 0,
        "users_idle_30d": None,
        "users_idle_90d": None,
        "last_used_at": at(1, 1),
        "usage_state": "used",
        "first_seen_at": None,
        "last_seen_at": None,
        "deleted_at": None,
    }


def test_an_application_is_used_whoever_it_was_but_only_accounts_are_active_users() -> None:
    directory = snapshot(1, user("u1"), apps=({"_id": "p1"},))
    result = tables([directory], [unit(-28, sso("e1", at(1), "p1", id="zz"), days=30)])
    (row,) = result["applications"]
    assert (row["usage_state"], row["last_used_at"], row["users_active_30d"]) == ("used", at(1), 0)
    assert result["application_users"] == []


# Access


def test_access_is_direct_by_group_or_both_and_none_after_use_without_it() -> None:
    directory = snapshot(
        1,
        *(user(f"u{number}") for number in range(1, 6)),
        apps=({"_id": "p1"}, {"_id": "p2"}),
        memberships={"g2": ["u2", "u3"], "g1": ["u3"], "g10": ["u3"], "g0": ["u3"], "g3": ["u5"]},
        application_users={"p1": ["u1", "u2"]},
        application_groups={"p1": ["g2", "g1", "g10", "g0"]},
    )
    rows = tables([directory], [unit(1, sso("e1", at(1), "p1", id="u4"))])["application_users"]
    assert [(row["user_id"], row["access"], row["via_group_ids"]) for row in rows] == [
        ("u1", "direct", []),
        ("u2", "both", ["g2"]),
        ("u3", "group", ["g0", "g1", "g10", "g2"]),
        ("u4", "none", []),
    ]
    assert [row["usage_state"] for row in rows] == ["never_used", "never_used", "never_used", "used"]
    edges = tables([directory], [])
    assert [(row["group_id"], row["user_id"]) for row in edges["group_members"]] == [
        ("g0", "u3"), ("g1", "u3"), ("g10", "u3"), ("g2", "u2"), ("g2", "u3"), ("g3", "u5"),
    ]  # fmt: skip


def test_edges_are_of_listed_users_and_applications_and_of_groups_that_may_be_empty() -> None:
    directory = snapshot(
        2,
        user("u1"),
        apps=({"_id": "p1"},),
        usergroups=[{"id": "g1", "name": "All"}, {"id": "g2", "name": ""}],
        memberships={"g1": ["u1", "u1", "ghost", "gone"]},
        application_groups={"p1": ["g1", "g2", "g9"], "unlisted": ["g1"]},
        admins=(admin("a1", "a@x.io", "Manager", "Billing"), admin("a2", None)),
    )
    result = tables([snapshot(1, user("gone")), directory])
    assert result["group_members"] == [{"organization_id": ORG, "group_id": "g1", "user_id": "u1"}]
    assert [(row["application_id"], row["group_id"]) for row in result["application_groups"]] == [
        ("p1", "g1"),
        ("p1", "g2"),
    ]
    assert [(row["user_id"], row["role"]) for row in result["user_roles"]] == [
        ("a1", "Billing"),
        ("a1", "Manager"),
        ("a2", "Unknown"),
        ("u1", "User"),
    ]


def test_access_is_since_the_snapshot_that_shows_it_first_unless_that_is_the_organizations_first() -> None:
    apps = ({"_id": "p1"},)
    direct: Row = {"apps": apps, "application_users": {"p1": ["u1"]}}
    by_group: Row = {"apps": apps, "application_groups": {"p1": ["g1"]}, "memberships": {"g1": ["u1"]}}

    def since(*stories: Snapshot) -> list[datetime | None]:
        return [row["access_since"] for row in tables(list(stories))["application_users"]]

    assert since(snapshot(1, user("u1"), **direct), snapshot(2, user("u1"), **by_group)) == [None]
    assert since(snapshot(1, user("u1"), apps=apps), snapshot(2, user("u1"), **direct)) == [at(2)]
    late = [snapshot(1), snapshot(2, user("u1"), **direct), snapshot(3, user("u1"), **by_group)]
    assert since(*late) == [at(2)]
    # Gone for one snapshot, the access, the application or the user: it begins anew.
    for gap in (snapshot(2, user("u1"), apps=apps), snapshot(2, user("u1")), snapshot(2, apps=apps)):
        assert since(snapshot(1, user("u1"), **direct), gap, snapshot(3, user("u1"), **direct)) == [at(3)]


def test_a_failed_sign_on_without_access_is_no_row() -> None:
    directory = snapshot(1, user("u1"), apps=({"_id": "p1"},))
    assert tables([directory], [unit(1, sso("e1", at(1), "p1", False, id="u1"))])["application_users"] == []


def test_access_is_counted_for_suspended_accounts_but_not_for_members_no_list_names() -> None:
    directory = snapshot(
        1,
        user("u1", state="SUSPENDED"),
        user("u2"),
        apps=({"_id": "p1", "active": False},),
        application_users={"p1": ["u1", "u2", "ghost"], "unlisted": ["u1"]},
    )
    result = tables([directory], [unit(1, sso("e1", at(1), "p1", id="u2"))])
    (application,) = result["applications"]
    assert (application["users_with_access"], application["users_never_used"]) == (2, 1)
    assert [row["application_count"] for row in result["users"]] == [1, 1]
    assert [row["user_id"] for row in result["application_users"]] == ["u1", "u2"]


# Histories


def test_a_version_of_a_user_ends_where_the_next_begins_and_deletion_is_one() -> None:
    stories = [
        snapshot(1, user("u1")),
        snapshot(2, user("u1", employeeType="untracked")),
        snapshot(3, user("u1", department="Ops")),
        snapshot(4),
        snapshot(5),
        snapshot(6, user("u1", department="Ops")),
    ]
    rows = tables(stories)["user_history"]
    assert [(row["status"], row["department"], row["valid_from"], row["valid_to"]) for row in rows] == [
        ("active", None, at(1), at(3)),
        ("active", "Ops", at(3), at(4)),
        ("deleted", "Ops", at(4), at(6)),
        ("active", "Ops", at(6), None),
    ]


def test_a_role_or_a_group_that_changes_begins_a_version() -> None:
    in_group: Row = {"usergroups": [{"id": "g1", "name": "All"}], "memberships": {"g1": ["u1"]}}
    stories = [
        snapshot(1, user("u1")),
        snapshot(2, user("u1"), admins=(admin("a1", "u1@x.io", "Manager"),)),
        snapshot(3, user("u1"), admins=(admin("a1", "u1@x.io", "Manager"),), **in_group),
    ]
    rows = tables(stories)["user_history"]
    assert [(row["roles"], row["is_admin"], row["groups"]) for row in rows] == [
        (["User"], False, []),
        (["Manager"], True, []),
        (["Manager"], True, ["All"]),
    ]


def test_access_that_ends_closes_its_version_and_access_that_changes_begins_one() -> None:
    apps = ({"_id": "p1"},)
    direct: Row = {"application_users": {"p1": ["u1", "ghost"]}}
    by_group: Row = {"application_groups": {"p1": ["g1"]}, "memberships": {"g1": ["u1"]}}
    stories = [
        snapshot(1, user("u1"), apps=apps, **direct),
        snapshot(2, user("u1"), apps=apps, **direct, **by_group),
        snapshot(3, user("u1"), apps=apps),
        snapshot(4, user("u1"), apps=apps, **direct),
        snapshot(5, apps=apps, **direct),
    ]
    common = {"organization_id": ORG, "application_id": "p1", "user_id": "u1"}
    assert tables(stories)["access_history"] == [
        {**common, "access": "direct", "via_group_ids": [], "valid_from": at(1), "valid_to": at(2)},
        {**common, "access": "both", "via_group_ids": ["g1"], "valid_from": at(2), "valid_to": at(3)},
        {**common, "access": "direct", "via_group_ids": [], "valid_from": at(4), "valid_to": at(5)},
    ]


# The whole


def test_nothing_is_expected_of_nothing() -> None:
    assert expected([], [], [], {}) == {table: [] for table in TABLES}


def test_an_organization_without_snapshot_has_its_row_and_its_usage() -> None:
    result = tables([], [unit(1, portal("e1", at(1), id="u1"))])
    assert result["organizations"][0]["directory_synced_at"] is None
    assert [row["user_id"] for row in result["usage_daily"]] == ["u1"]
    assert result["users"] == []


# What was tried


def attempted(units: list[Unit], *attempts: Attempt) -> dict[str, list[Row]]:
    """Return what is expected of one organization of which runs ended so."""
    return expected([], units, [], {ORG: "jumpcloud_default"}, list(attempts))


def usage(day: int, outcome: str, first: int, last: int) -> Attempt:
    """Return how the usage run of a day ended that was to land these days."""
    return Attempt(ORG, f"usage {day}", at(day), "usage", outcome, interval=(at(first), at(last + 1)))


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        ([], "stale"),
        ([("directory", "ok", ORG, False)], "ok"),
        ([("directory", "failed", ORG, False), ("directory", "ok", ORG, False)], "ok"),
        ([("directory", "ok", ORG, False), ("directory", "held", ORG, True)], "held"),
        ([("directory", "ok", ORG, False), ("directory", "ok", "org2", False)], "stale"),
        ([("directory", "ok", ORG, False), ("directory", "ok", "org2", True)], "ok"),
        ([("usage", "failed", ORG, False), ("directory", "ok", ORG, False)], "failed"),
        ([("directory", "held", ORG, False), ("usage", "failed", ORG, False)], "failed"),
        ([("directory", "ok", ORG, False), ("usage", "failed", ORG, False), ("usage", "ok", ORG, False)], "ok"),
        ([("directory", "ok", ORG, False), ("usage", "failed", ORG, False), ("usage", "skipped", ORG, False)], "ok"),
        ([("directory", "ok", ORG, False), ("usage", "failed", "org2", False)], "ok"),
    ],
)
def test_sync_status_is_failed_where_the_latest_usage_run_failed_else_that_of_the_directory(
    ended: list[tuple[str, str, str, bool]], status: str
) -> None:
    attempts = [
        Attempt(organization_id, f"run {day}", at(day), side, outcome, is_restricted)
        for day, (side, outcome, organization_id, is_restricted) in enumerate(ended, 1)
    ]
    rows = attempted([], *attempts)["organizations"]
    assert [row["sync_status"] for row in rows if row["organization_id"] == ORG] == [status]


def test_what_the_latest_attempt_failed_or_skipped_has_a_row_until_something_has_landed_of_it() -> None:
    def told(*attempts: Attempt, units: list[Unit]) -> list[tuple[int, str]]:
        rows = attempted(units, *attempts)["usage_coverage"]
        return [(row["interval_start"].day, row["outcome"]) for row in rows]

    landed = unit(2, portal("e1", at(2)))
    failed, skipped, excluded = (usage(day, one, 1, 3) for day, one in ((5, "failed"), (6, "skipped"), (7, "excluded")))
    assert told(failed, units=[]) == [(1, "failed"), (2, "failed"), (3, "failed")]
    assert told(failed, skipped, units=[]) == [(1, "skipped"), (2, "skipped"), (3, "skipped")]
    assert told(failed, skipped, excluded, units=[]) == []
    assert told(failed, units=[landed]) == [(1, "failed"), (2, "ok"), (3, "failed")]
    hour = Unit(ORG, at(3), at(3, 1), at(9), [])
    assert told(failed, units=[landed, hour]) == [(1, "failed"), (2, "ok"), (3, "ok")]
    assert attempted([landed], failed)["organizations"][0]["known_days"] == 1
