"""What may be asked for: every problem of the params is named at once, and nobody is called."""

from __future__ import annotations

from typing import Any

import pytest

from jumpcloud_elt.actions.profile import read_profile
from jumpcloud_elt.actions.request import ActionRequest, read_request
from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_sandbox.client import Sandbox
from support.acting import ORGANIZATION, OTHER, allow, params, world
from support.connections import API_KEY, connection_json

Json = dict[str, Any]
NEW = {"username": "new.one", "email": "new.one@x.example"}


@pytest.fixture(autouse=True)
def allowed(settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox.set_world(world())
    allow(monkeypatch, sandbox)


def problems(**given: Any) -> list[str]:
    """What is wrong with these params, line by line."""
    action = given.pop("action", "suspend")
    with pytest.raises(ConfigurationError) as raised:
        read_request(params(action, *given.pop("targets", ("ada",)), **given), read_settings())
    first, *lines = str(raised.value).splitlines()
    assert first == "Nothing was called. What was asked for cannot be done:"
    return [line.removeprefix("- ") for line in lines]


def request(action: str = "suspend", *targets: str, **given: Any) -> ActionRequest:
    return read_request(params(action, *targets, **given), read_settings())


def test_everything_that_is_wrong_is_named_at_once_and_nobody_is_called(sandbox: Sandbox) -> None:
    lines = problems(
        action="explode",
        organization_id="Acme",
        targets=("ada", ""),
        filters={"color": "red", "status": "gone", "unused_days": 0},
        group="Staff",
        dry_run="no",
    )
    named = [line.partition(":")[0] for line in lines]
    assert named == [
        "action",
        "organization_id",
        "targets",
        "filters.color",
        "filters.unused_days",
        "filters.status",
        "targets, filters",
        "dry_run",
    ]
    assert all("allowed" in line for line in lines)
    assert lines[0] == f"action: 'explode' given; allowed: {', '.join(ACTIONS)}"
    assert lines[3] == "filters.color: unknown; allowed: unused_days, status, role, group, department, lifecycle"
    assert sandbox.requests() == []


@pytest.mark.parametrize("permission", ["read", ""])
def test_a_connection_that_may_only_read_is_refused_dry_run_or_not(
    permission: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, sandbox, permission)
    for is_dry_run in (True, False):
        (line,) = problems(dry_run=is_dry_run)
        assert line == (
            "connection_id: 'jumpcloud_default' given, whose Permission is read; allowed: a connection with "
            "Permission read_and_act (Admin > Connections)"
        )
    assert sandbox.requests() == []


def test_the_connection_is_the_only_one_configured_or_must_be_named(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert request("suspend", "ada", connection_id=None).connection_id == "jumpcloud_default"
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "one,two")
    assert problems(connection_id=None) == ["connection_id: nothing given; allowed: one of one, two"]
    (line,) = problems(connection_id="three")
    assert line.startswith("connection_id: There is no connection 'three'.")
    # Not among those that are synced, and allowed to act: its own key for acting.
    monkeypatch.setenv(
        "AIRFLOW_CONN_ACTING", connection_json(sandbox.url, API_KEY, extra={"permission": "read_and_act"})
    )
    assert request("suspend", "ada", connection_id="acting").connection_id == "acting"


def test_organization_ids_of_the_connection_bound_it(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"permission": "read_and_act", "organization_ids": OTHER}
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY, extra=extra))
    (line,) = problems()
    assert line.startswith(f"organization_id: '{ORGANIZATION}' given; allowed by Organization ids")
    assert request("suspend", "ada", organization_id=OTHER.upper()).organization_id == OTHER


@pytest.mark.parametrize("given", [None, "", "Acme", 7, ORGANIZATION[:-1]])
def test_the_organization_must_be_named(given: Any) -> None:
    assert problems(organization_id=given) == [
        f"organization_id: {given!r} given; allowed: one id of 24 hexadecimal digits"
    ]


def test_a_dry_run_is_the_default() -> None:
    given = params("suspend", "ada")
    del given["dry_run"]
    assert read_request(given, read_settings()).is_dry_run is True


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"targets": ()}, "targets: nothing given; allowed: a list of user ids"),
        ({"targets": ("ada",), "filters": {"status": "active"}}, "targets, filters: both given; allowed: one of them"),
        ({"action": "create", "fields": NEW}, "targets, filters: given; allowed: neither"),
        ({"group": "Staff"}, "group: 'Staff' given; allowed with add_to_group, remove_from_group only"),
        ({"action": "add_to_group"}, "group: nothing given; allowed with add_to_group: the id or the name"),
        ({"fields": {"department": "x"}}, "fields.department: not taken by suspend; allowed: nothing"),
        ({"fields": [1]}, "fields: no object given; allowed: an object"),
        ({"action": "update"}, "fields: nothing given; allowed: at least one of email, firstname"),
        ({"action": "update", "fields": {"username": "x"}}, "fields.username: cannot be changed"),
        (
            {"action": "update", "fields": {"email": "x@x.example"}, "targets": ("ada", "bob")},
            "fields.email: given for more than one user; allowed: with one target only",
        ),
        ({"action": "reset_mfa", "fields": {"exclusionDays": 0}}, "fields.exclusionDays: 0 given; allowed: a whole"),
        ({"action": "activate", "fields": {"email": "no"}}, "fields.email: 'no' given; allowed: true or false"),
        ({"action": "delete", "fields": {"cascade_manager": 7}}, "fields.cascade_manager: 7 given; allowed: null"),
        ({"targets": (), "filters": [1]}, "filters: [1] given; allowed: an object with unused_days"),
        ({"targets": (), "filters": {"role": []}}, "filters.role: [] given; allowed: a text, or a list"),
        ({"targets": (), "filters": {"unused_days": True}}, "filters.unused_days: True given; allowed: a whole"),
        ({"targets": (), "filters": {"lifecycle": "gone"}}, "filters.lifecycle: 'gone' given; allowed: current, past"),
    ],
)
def test_what_does_not_fit_together_is_said(given: Json, told: str) -> None:
    lines = problems(**given)
    assert lines[0].startswith(told), lines


def test_filters_are_read_as_one_text_or_several() -> None:
    filters = request("suspend", filters={"status": "active", "role": ["Manager", " Help Desk "]}).filters
    assert filters is not None
    assert (filters.status, filters.role, filters.unused_days) == (("active",), ("Manager", "Help Desk"), None)


# ---- profile fields ------------------------------------------------------------------------------------------


def profile(**fields: Any) -> tuple[dict[str, Any], list[str]]:
    wrong: list[str] = []
    return read_profile("create", {**NEW, **fields}, wrong), wrong


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("Ada Lovelace", "Ada.Lovelace"),
        ("  ada   m  lovelace ", "ada.m.lovelace"),
        ("a_b-c.d9", "a_b-c.d9"),
        ("x" * 30, "x" * 30),
    ],
)
def test_spaces_in_a_user_name_become_dots(given: str, made: str) -> None:
    assert profile(username=given) == ({**NEW, "username": made}, [])


@pytest.mark.parametrize(
    "username", ["1ada", ".ada", "_ada", "ada@x", "ada!", "ada/b", "áda", "x" * 31, "", None, 7, " ", "ada\u200b"]
)
def test_user_names_that_jumpcloud_does_not_take_are_refused(username: Any) -> None:
    _, (line,) = profile(username=username)
    assert line.startswith(f"fields.username: {username!r} given")
    assert line.endswith("hyphens, the first a letter, no @")


@pytest.mark.parametrize("email", ["ada@x.example", "a.b+c@sub.x-y.example", "O'Hara@x.example", "ADA@X.EXAMPLE"])
def test_emails_are_taken_as_given(email: str) -> None:
    assert profile(email=email) == ({**NEW, "email": email}, [])


@pytest.mark.parametrize(
    "email",
    ["ada", "ada@", "@x.example", "ada@x", "a b@x.example", "a..b@x.example", ".a@x.example", "a@-x.example",
     "a@x..example", "a@b@x.example", f"{'x' * 65}@x.example", f"a@{'x' * 64}.example", "", None, "a@x.example\n,b"],
)  # fmt: skip
def test_emails_that_are_none_are_refused(email: Any) -> None:
    _, (line,) = profile(email=email)
    assert line.startswith("fields.email: ") and "allowed: an e-mail address" in line


def test_all_problems_of_a_profile_are_named_together() -> None:
    wrong: list[str] = []
    read_profile(
        "create",
        {"username": "1 ada", "firstname": "x" * 1025, "color": "red", "state": "GONE", "manager": ["ada"]},
        wrong,
    )
    assert [line.partition(":")[0] for line in wrong] == [
        "fields.username",
        "fields.firstname",
        "fields.color",
        "fields.state",
        "fields.manager",
        "fields.email",
    ]
    assert wrong[-1].startswith("fields.email: missing")


@pytest.mark.parametrize("name", ["password", "ssh_keys", "public_key", "apiKey", "Temporary-Password"])
def test_a_secret_is_refused_and_not_repeated(name: str) -> None:
    _, (line,) = profile(**{name: "s3cret"})
    assert line.startswith(
        f"fields.{name}: may not be given: Airflow keeps the params of every run, so delete this one"
    )
    assert "s3cret" not in line


def test_names_as_the_warehouse_has_them_are_understood_once() -> None:
    assert profile(first_name="Ada", job_title="Countess")[0] == {**NEW, "firstname": "Ada", "jobTitle": "Countess"}
    _, (line,) = profile(first_name="Ada", firstname="Ada")
    assert line.startswith("fields.firstname: given twice")


def test_an_update_can_clear_what_can_be_without() -> None:
    wrong: list[str] = []
    assert read_profile("update", {"department": "", "employeeIdentifier": None, "manager": None}, wrong) == {
        "department": "",
        "employeeIdentifier": None,
        "manager": "",
    }
    read_profile("update", {"email": ""}, wrong)
    assert len(wrong) == 1
