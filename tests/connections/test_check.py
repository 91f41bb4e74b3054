"""What is found out about a connection: each capability, each cause with its next step, the key's role and its end."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_elt.connections.check import inspect_connection, patient_for_seconds
from jumpcloud_elt.connections.report import SYNC_CAPABILITIES, ConnectionReport, as_text, summarise
from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.tasks import check_connection
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json

ONE, TWO = "5f0a1c2e9d3b4a0011225501", "5f0a1c2e9d3b4a0011225502"
NOW = datetime(2026, 11, 22, 12)
KEY = "jca_one_two_three_four"
LISTINGS = {
    "users": "/api/systemusers",
    "administrators": "/api/users$",
    "roles": "/api/v2/roles",
    "groups": "/api/v2/usergroups$",
    "applications": "/api/applications",
    "access": "/associations$|/members$",
    "directory_insights": "/insights/",
}

Json = dict[str, Any]
Check = Callable[..., ConnectionReport]


def organization(identifier: str, name: str, **others: Any) -> Json:
    application, group = {"_id": "a" * 24, "name": "wiki"}, {"id": "b" * 24, "name": "All", "type": "user_group"}
    event = {
        "id": identifier,
        "service": "directory",
        "event_type": "user_login_attempt",
        "organization": identifier,
        "timestamp": days(-1),
        "success": True,
        "initiated_by": {"type": "user", "id": "1" * 24},
    }
    lists = {"applications": [application], "usergroups": [group], "events": [event]}
    return {"id": identifier, "displayName": name, **lists, **others}


def key(*organizations: str, **others: Any) -> Json:
    return {"key": KEY, "organizations": organizations or [ONE], **others}


def days(number: float) -> str:
    return (NOW + timedelta(days=number)).isoformat() + "Z"


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.start({"organizations": []}, now=NOW.isoformat() + "Z") as started:
        yield started


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture
def check(settings: Settings, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Check:
    """Check a connection to a world of one key, or of what else is given."""

    def check(
        *keys: Json,
        organizations: tuple[Json, ...] = (organization(ONE, "One"),),
        faults: tuple[Json, ...] = (),
        password: str = KEY,
        at_most: int | None = None,
        **fields: Any,
    ) -> ConnectionReport:
        world = {"organizations": list(organizations), "keys": list(keys), **fields.pop("world", {})}
        sandbox.set_world(world)
        sandbox.set_faults(*faults)
        connection = connection_json(sandbox.url, password, **fields)
        monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection)
        return inspect_connection("jumpcloud_default", settings, NOW, at_most=at_most)

    return check


def findings(report: ConnectionReport, number: int = 0) -> dict[str, str]:
    return {one.capability: one.state for one in report.organizations[number].findings}


def reason(report: ConnectionReport, capability: str) -> str:
    return next(one.reason or "" for one in report.organizations[0].findings if one.capability == capability)


def refuse(path: str, status: int, message: str) -> Json:
    return {"match": {"path_regex": path}, "do": {"status": status, "body": {"message": message}}}


def test_a_key_that_may_do_everything(check: Check) -> None:
    report = check(key(permission="write"), extra={"permission": "read_and_act"})
    assert report.works and report.failure is None and report.warning is None
    assert findings(report) == dict.fromkeys(SYNC_CAPABILITIES, "yes")
    assert report.credential == {
        "roles": ["Administrator With Billing"],
        "may_write": "yes",
        "may_write_reason": "Role Administrator With Billing may change users.",
        "ends_at": None,
        "is_end_told": False,
    }
    assert summarise(report).splitlines() == [
        "1 organization: One.",
        "Can be read: users, administrators, roles, groups, applications, access, Directory Insights.",
        "Permission: read_and_act. May the key write: yes.",
    ]
    assert as_text(report).splitlines()[-3:] == [
        "Permission is read_and_act: actions are allowed.",
        "May the key write: yes. Role Administrator With Billing may change users.",
        "JumpCloud does not tell when the API key ends.",
    ]


def test_nothing_is_written_to_find_out(check: Check, sandbox: Sandbox) -> None:
    check(key(permission="write"), extra={"permission": "read_and_act"})
    asked = {(one["method"], one["path"].rpartition("/")[2]) for one in sandbox.requests()}
    assert {path for method, path in asked if method != "GET"} == {"count"}


@pytest.mark.parametrize("capability", LISTINGS)
def test_what_the_role_may_not_read_is_no_with_the_next_step_and_the_rest_is_yes(check: Check, capability: str) -> None:
    report = check(key(), faults=(refuse(LISTINGS[capability], 403, "Forbidden"),))
    expected = dict.fromkeys(SYNC_CAPABILITIES, "yes") | {capability: "no"}
    # Without the list of applications or of groups their access is read of the other.
    assert findings(report) == expected
    assert report.works == (capability in ("administrators", "roles", "directory_insights"))
    told = reason(report, capability)
    assert "The role of the key's administrator does not allow reading" in told and "(403 Forbidden)" in told
    assert "Give the administrator a role that does" in told and "correct Region" in told


def test_directory_insights_that_are_not_enabled_cost_nothing_else_and_say_whom_to_ask(check: Check) -> None:
    report = check(key(), organizations=(organization(ONE, "One", insights="not_enabled"),))
    assert report.works
    assert findings(report) == dict.fromkeys(SYNC_CAPABILITIES, "yes") | {"directory_insights": "no"}
    told = reason(report, "directory_insights")
    assert told.startswith("Directory Insights is not enabled for this organization (402).")
    assert "can ask JumpCloud's account manager" in told


@pytest.mark.parametrize("insights", ["empty", "enabled"])
def test_directory_insights_that_answer_with_nothing_are_unknown(check: Check, insights: str) -> None:
    report = check(key(), organizations=(organization(ONE, "One", insights=insights, events=[]),))
    assert report.works
    assert findings(report) == dict.fromkeys(SYNC_CAPABILITIES, "yes") | {"directory_insights": "unknown"}
    told = reason(report, "directory_insights")
    assert told.startswith("Directory Insights answers, and holds no event of the last 90 days: nobody has logged in")


def test_an_organization_with_neither_applications_nor_groups_leaves_access_unknown(check: Check) -> None:
    lists = {"applications": [], "usergroups": []}
    report = check(key(), organizations=(organization(ONE, "One", **lists),))
    assert report.works
    assert findings(report) == dict.fromkeys(SYNC_CAPABILITIES, "yes") | {"access": "unknown"}


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        (
            401,
            "Unauthorized: api key user not found",
            "JumpCloud does not know this API key (401 Unauthorized: api key user not found): it is incomplete, was "
            "replaced or has expired; its administrator is gone, suspended or has no API access; or the account does "
            "not live in Region eu. Check Region (us, eu or in), then make a new key in JumpCloud and enter it as "
            "API key.",
        ),
        (
            401,
            "Unauthorized: api key has expired",
            "The API key has expired (401 Unauthorized: api key has expired). Make a new one in JumpCloud and enter "
            "it as API key.",
        ),
        (
            403,
            "Forbidden: API access is disabled for this administrator",
            "API access is switched off for the key's administrator (403 Forbidden: API access is disabled for this "
            "administrator). Somebody with the role Administrator With Billing has to switch it on for that "
            "administrator.",
        ),
        (
            401,
            "Unauthorized: no organization selected",
            "The key sees several organizations and has to be told which (401 Unauthorized: no organization "
            "selected). Enter their ids as Organization ids.",
        ),
        (
            403,
            "Forbidden",
            "The role of the key's administrator does not allow reading organizations (403 Forbidden), or the account "
            "does not live in Region eu. Give the administrator a role that does (Read Only reads the directory), or "
            "correct Region (us, eu or in).",
        ),
    ],
)
def test_an_account_that_refuses_is_told_by_its_cause_and_the_next_step(
    check: Check, status: int, message: str, told: str
) -> None:
    report = check(key(), faults=(refuse("/api/organizations", status, message),), extra={"region": "eu"})
    assert not report.works
    assert report.failure == told
    assert summarise(report) == told


def test_a_service_account_that_is_refused_is_told_in_its_own_words(check: Check) -> None:
    report = check(login="somebody", password="not-the-secret")
    assert report.failure is not None and not report.works
    assert report.failure.startswith("JumpCloud does not accept the client id and client secret (401 invalid_client)")
    assert "not-the-secret" not in report.failure


def test_all_that_is_wrong_with_the_form_is_one_message_in_its_words(check: Check) -> None:
    extra = {"region": "mars", "permission": "all", "organization_ids": "one", "usage_retention_days": 0}
    report = check(password="", extra=extra)
    assert report.failure is not None and not report.works
    lines = report.failure.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == [
        "- API key",
        "- Region",
        "- Permission",
        "- Organization ids",
        "- Usage retention in days",
    ]


def test_a_server_that_does_not_answer_is_said_once_and_not_waited_for_six_times(
    check: Check, sandbox: Sandbox
) -> None:
    report = check(key(), faults=(refuse("/api/systemusers", 503, "upstream"),))
    assert not report.works
    assert findings(report) == dict.fromkeys(SYNC_CAPABILITIES, "no")
    assert reason(report, "users").startswith("JumpCloud could not be asked for users: GET /api/systemusers")
    assert not [one for one in sandbox.requests() if one["path"] == "/api/applications"]


def test_a_server_whose_answers_never_end_is_said_in_half_a_minute_a_try(
    serve: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n")
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.05)

    patient = patient_for_seconds(settings)
    assert patient.request_deadline_seconds <= 30
    hurried = dataclasses.replace(patient, request_deadline_seconds=0.3)
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(serve(drip, drip).url, KEY))
    report = inspect_connection("jumpcloud_default", hurried, NOW)
    assert "no answer in time" in str(report.failure)


@pytest.mark.parametrize("capability", ["administrators", "roles", "directory_insights"])
def test_what_could_not_be_asked_is_unknown_and_not_no(check: Check, capability: str) -> None:
    report = check(key(), faults=(refuse(LISTINGS[capability], 503, "upstream"),))
    assert report.works
    assert findings(report) == dict.fromkeys(SYNC_CAPABILITIES, "yes") | {capability: "unknown"}
    assert reason(report, capability).startswith("JumpCloud could not be asked for ")


@pytest.mark.parametrize("status", [402, 403])
def test_directory_insights_that_are_refused_with_the_users_say_nothing_of_the_plan(check: Check, status: int) -> None:
    refused = {"directory_insights": "unknown", "users": "no"}
    faults = (refuse(LISTINGS["directory_insights"], status, "no"), refuse(LISTINGS["users"], 403, "Forbidden"))
    report = check(key(), faults=faults)
    assert findings(report) == dict.fromkeys(SYNC_CAPABILITIES, "yes") | refused


def test_an_organization_that_the_connection_names_and_the_key_does_not_see_does_not_work(check: Check) -> None:
    report = check(
        key(ONE),
        organizations=(organization(ONE, "One"), organization(TWO, "Two")),
        extra={"organization_ids": f"{ONE},{TWO}"},
    )
    assert [one.can_be_synced for one in report.organizations] == [True, False]
    assert not report.works
    assert f"Organization {TWO} is named in connection 'jumpcloud_default', but its key does not see it." in as_text(
        report
    )


def test_a_key_without_any_organization_does_not_work(check: Check) -> None:
    report = check({"key": KEY, "organizations": []})
    assert report.failure is not None and report.failure.startswith("The key sees no organization.")


def test_what_several_organizations_share_is_said_once(check: Check) -> None:
    report = check(
        key(ONE, TWO),
        organizations=(organization(ONE, "One", insights="not_enabled"), organization(TWO, "Two")),
    )
    text = summarise(report)
    assert text.startswith(
        "2 organizations: One, Two.\nCan be read: users, administrators, roles, groups, applications, access."
    )
    assert text.count("not enabled for this organization (402)") == 1
    assert "\nOne: Directory Insights is not enabled" in text


def test_the_button_looks_into_the_first_organizations_only_and_says_so(check: Check) -> None:
    report = check(key(ONE, TWO), organizations=(organization(ONE, "One"), organization(TWO, "Two")), at_most=1)
    assert [one.organization_name for one in report.organizations] == ["One"]
    assert report.unchecked == ("Two",)
    assert "1 was not looked into: run jumpcloud_check_connection." in summarise(report)
    assert "Not looked into: Two" in as_text(report)


# ---- the key ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "may_write"),
    [
        ("Administrator", "yes"),
        ("administrator with billing", "yes"),
        ("Read Only", "no"),
        ("Command Runner", "no"),
        ("Billing Only", "no"),
        ("Manager", "unknown"),
        ("Fleet Custodian", "unknown"),
    ],
)
def test_whether_the_key_may_write_follows_from_its_role_and_is_unknown_for_roles_that_nobody_published(
    check: Check, role: str, may_write: str
) -> None:
    credential = check(key(role=role)).credential
    assert credential is not None
    assert (credential["roles"], credential["may_write"]) == ([role], may_write)
    assert role in credential["may_write_reason"]


def test_a_key_whose_role_is_not_told_is_unknown(check: Check) -> None:
    credential = check(key(is_role_told=False)).credential
    assert credential is not None
    assert credential["may_write"] == "unknown"
    assert "does not tell this key its role" in credential["may_write_reason"]


def test_a_caller_who_may_not_ask_about_itself_is_unknown_too(check: Check) -> None:
    report = check(key(), faults=(refuse("/getSelf", 403, "Forbidden"),))
    assert report.works
    assert report.credential is not None and report.credential["may_write"] == "unknown"


def test_the_list_of_administrators_completes_what_the_caller_does_not_see_of_itself(check: Check) -> None:
    digest = {"prefix": KEY[:12], "expireAt": days(7)}
    administrators = [
        {"_id": "1" * 24, "email": "a@x.io", "roleName": "Help Desk", "apiKeyHash": {"prefix": "jca_"}},
        {"_id": "2" * 24, "email": "b@x.io", "roleName": "Administrator", "apiKeyHash": digest},
    ]
    report = check(key(is_role_told=False), organizations=(organization(ONE, "One", administrators=administrators),))
    assert report.credential is not None
    assert (report.credential["roles"], report.credential["ends_at"]) == (["Administrator"], "2026-11-29T12:00:00")


@pytest.mark.parametrize(
    ("ends", "warning"),
    [
        (None, None),
        (days(30.5), None),
        (days(29.5), "The API key ends on 2026-12-22, in 29 days."),
        (days(1.5), "The API key ends on 2026-11-24, in 1 day."),
        (days(0.5), "The API key ends on 2026-11-23, in less than a day."),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_the_end_of_a_key_is_told_and_warned_of_within_thirty_days(
    check: Check, ends: str | None, warning: str | None
) -> None:
    report = check(key(role="Administrator"), faults=() if ends is None else (_own(ends),))
    assert report.works
    assert (report.warning or "").startswith(warning or "") and bool(report.warning) == bool(warning)
    if warning:
        assert f"Warning: {warning}" in summarise(report) and f"Warning: {warning}" in as_text(report)


def _own(ends: str) -> Json:
    body = {"_id": "1" * 24, "roleName": "Administrator", "apiKeyHash": {"prefix": KEY[:8], "expireAt": ends}}
    return {"match": {"path_regex": "/getSelf"}, "do": {"status": 200, "body": body}}


def test_a_key_that_has_ended_is_no_longer_known(check: Check) -> None:
    assert check(key(expires_at=days(7))).warning is not None
    report = check(key(expires_at=days(-1)))
    assert report.failure is not None and "has expired" in report.failure


@pytest.mark.parametrize("permission", ["read", "write"])
def test_a_service_account_has_a_role_and_a_secret_that_ends(check: Check, permission: str) -> None:
    accounts = [
        {"client_id": "other", "client_secret": "x", "organizations": [ONE], "expires_at": days(3)},
        {
            "client_id": "client",
            "client_secret": "secret-of-client",
            "organizations": [ONE],
            "permission": permission,
            "expires_at": days(20),
        },
    ]
    report = check(login="client", password="secret-of-client", world={"service_accounts": accounts})
    assert report.works and report.credential is not None
    assert report.credential["may_write"] == ("yes" if permission == "write" else "no")
    assert report.credential["ends_at"] == "2026-12-12T12:00:00"
    assert (report.warning or "").startswith("The client secret ends on 2026-12-12, in 20 days.")


def _two_secrets(first: str | None, second: str | None, **others: Any) -> Json:
    secrets = [{"type": "CLIENT_SECRET", "clientId": "client", "expiresAt": end} for end in (first, second)]
    account = {"objectId": "1" * 24, "roleName": "Administrator", "authConfigList": secrets, **others}
    body = {"results": [account], "totalCount": 1}
    return {"match": {"path_regex": "service-accounts"}, "do": {"status": 200, "body": body}}


@pytest.mark.parametrize(
    ("first", "second", "ends_at"),
    [
        ("2020-01-01T00:00:00Z", days(300), "2027-09-18T12:00:00"),
        (days(300), "2020-01-01T00:00:00Z", "2027-09-18T12:00:00"),
        # Which of two is this one is not told: the one that ends first is told of.
        (days(300), days(20), "2026-12-12T12:00:00"),
        ("2020-01-01T00:00:00Z", None, "2020-01-01T00:00:00"),
        (None, None, None),
    ],
)
def test_of_two_secrets_one_that_has_ended_is_not_the_one_that_works(
    check: Check, first: str | None, second: str | None, ends_at: str | None
) -> None:
    account = {"client_id": "client", "client_secret": "secret-of-client", "organizations": [ONE]}
    faults = (_two_secrets(first, second),)
    report = check(login="client", password="secret-of-client", world={"service_accounts": [account]}, faults=faults)
    assert report.works and report.credential is not None
    assert report.credential["ends_at"] == ends_at


def test_a_service_account_that_does_not_name_the_client_is_not_taken_for_it(check: Check) -> None:
    account = {"client_id": "client", "client_secret": "secret-of-client", "organizations": [ONE]}
    other = {"objectId": "2" * 24, "name": "other", "roleName": "Read Only", "expiresAt": days(3)}
    body = {"results": [other], "totalCount": 1}
    fault = {"match": {"path_regex": "service-accounts"}, "do": {"status": 200, "body": body}}
    report = check(login="client", password="secret-of-client", world={"service_accounts": [account]}, faults=(fault,))
    assert report.works and report.credential is not None and report.warning is None
    assert (report.credential["roles"], report.credential["may_write"]) == ([], "unknown")


@pytest.mark.parametrize("do", [{"status": 503}, {"status": 403, "body": {"message": "no"}}, {"wrong_total": 1}])
def test_a_service_account_that_cannot_be_looked_up_is_unknown_and_its_end_is_not_told(check: Check, do: Json) -> None:
    account = {
        "client_id": "client",
        "client_secret": "secret-of-client",
        "organizations": [ONE],
        "permission": "write",
    }
    fault = {"match": {"path_regex": "service-accounts"}, "do": do}
    report = check(login="client", password="secret-of-client", world={"service_accounts": [account]}, faults=(fault,))
    assert report.works and report.credential is not None and report.warning is None
    assert (report.credential["roles"], report.credential["may_write"]) == ([], "unknown")
    assert (report.credential["ends_at"], report.credential["is_end_told"]) == (None, False)


ODD = (7, 1.5, True, None, "", {"value": "a@x.io"}, ["a@x.io"], [])


def test_administrators_whose_email_is_no_text_hide_nobodys_role(check: Check) -> None:
    digest = {"prefix": KEY[:12], "expireAt": "9999-12-31T23:59:59-14:00"}
    odd = [{"_id": f"a{number:023x}", "email": email, "roleName": "Odd"} for number, email in enumerate(ODD)]
    mine = {"_id": "f" * 24, "email": {"no": "text"}, "roleName": "Administrator", "apiKeyHash": digest}
    report = check(key(is_role_told=False), organizations=(organization(ONE, "One", administrators=[*odd, mine]),))
    assert report.credential is not None
    assert (report.credential["roles"], report.credential["ends_at"]) == (["Administrator"], None)


@pytest.mark.parametrize("email", ODD)
def test_a_caller_whose_own_email_is_no_text_is_told_all_the_same(check: Check, email: Any) -> None:
    own = {"match": {"path_regex": "/getSelf"}, "do": {"status": 200, "body": {"_id": email, "email": email}}}
    others = [{"_id": f"a{number:023x}", "email": one, "roleName": "Odd"} for number, one in enumerate(ODD)]
    report = check(key(), organizations=(organization(ONE, "One", administrators=others),), faults=(own,))
    assert report.works and report.credential is not None and report.credential["roles"] == []


@pytest.mark.parametrize(
    ("role", "why"),
    [
        ("Read Only", "Role Read Only may not change users. Give the key's administrator a role that may."),
        ("Manager", "Role Manager: what that may change is not published, and nothing was changed to find out."),
    ],
)
def test_the_button_says_why_somebody_who_wants_to_act_may_not(check: Check, role: str, why: str) -> None:
    text = summarise(check(key(role=role), extra={"permission": "read_and_act"}))
    assert text.splitlines()[-1] == why
    assert why not in summarise(check(key(role=role)))


# ---- who shows it --------------------------------------------------------------------------------------------------


def test_the_test_button_shows_the_summary_and_not_the_id_of_the_moment(check: Check, settings: Settings) -> None:
    check(key())
    works, message = JumpCloudHook(settings=settings).test_connection()
    assert works and message.startswith("1 organization: One.")
    check(password="")
    works, message = JumpCloudHook(settings=settings).test_connection()
    assert not works and "API key: missing" in message and "jumpcloud_default" not in message


@pytest.mark.system
@pytest.mark.usefixtures("airflow_database")
def test_the_command_line_says_whether_a_connection_works(check: Check) -> None:
    def airflow_says() -> tuple[int, str]:
        environment = os.environ | {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
        command = [Path(sys.executable).with_name("airflow"), "connections", "test", "jumpcloud_default"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return ended.returncode, " ".join((ended.stdout + ended.stderr).split())

    check(key())
    status, text = airflow_says()
    assert status == 0 and "Connection success!" in text
    check(key(), password="not-the-key")
    status, text = airflow_says()
    assert "Connection failed!" in text and "not-the-key" not in text


def test_the_dag_returns_the_report_and_fails_with_it_where_the_connection_does_not_work(
    check: Check, settings: Settings
) -> None:
    check(key(), organizations=(organization(ONE, "One", insights="not_enabled"),))
    text = check_connection.check_connection("jumpcloud_default")
    assert text.startswith("Connection 'jumpcloud_default' works.\n")
    assert "  directory_insights no" in text and "  users              yes\n" in text
    check(key(), faults=(refuse("/api/systemusers", 403, "Forbidden"),))
    with pytest.raises(AirflowFailException, match=r"Connection 'jumpcloud_default' does not work.\n"):
        check_connection.check_connection("jumpcloud_default")
    with pytest.raises(AirflowFailException, match="There is no connection 'nobody'"):
        check_connection.check_connection("nobody")


def test_no_secret_is_in_what_is_shown(check: Check) -> None:
    for report in (check(key()), check(key(), faults=(refuse("/api/", 401, f"bad key {KEY}"),))):
        assert KEY not in as_text(report) + summarise(report) + repr(report)
