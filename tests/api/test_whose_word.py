"""A refusal counts only in JumpCloud's own words: a page of whatever stands between is a failure that can heal."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import (
    ConflictError,
    CredentialError,
    NotEnabledError,
    NotFoundError,
    PermissionDeniedError,
    RequestError,
    TransientError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_sandbox.client import Sandbox
from support.acting import ADA, BOB, EMPTY, ORGANIZATION, STAFF, allow, user_of, world
from support.connections import connection_json

OF = {"organization_id": ORGANIZATION}
USERS = "/api/systemusers"
REFUSALS = {
    401: CredentialError,
    402: NotEnabledError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
}
# A proxy's page, nothing at all, JSON of somebody else's.
NOT_ITS_WORDS: tuple[dict[str, Any], ...] = (
    {"html_body": True},
    {"body": ""},
    {"body": "Access denied"},
    {"body": "[" * 5000},
    {"body": {}},
    {"body": []},
    {"body": {"success": False, "errors": [{"code": 1020}]}},
    {"body": {"message": ""}},
    {"body": {"message": {"text": "no"}}},
)


@pytest.fixture
def hook(settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> JumpCloudHook:
    sandbox.set_world(world())
    allow(monkeypatch, sandbox)
    return JumpCloudHook("jumpcloud_default", dataclasses.replace(settings, request_attempts=3))


def read_insights(hook: JumpCloudHook) -> object:
    body = {"service": ["all"], "start_time": "2026-01-01T00:00:00Z"}
    return hook.insights("events/count", body, organization_id=ORGANIZATION)


def in_its_words(status: int) -> dict[str, Any]:
    return {"status": status, "body": {"message": "no", "error": "no"}}


@pytest.mark.parametrize("status", REFUSALS)
@pytest.mark.parametrize("route", ["console", "insights"])
@pytest.mark.parametrize("answer", NOT_ITS_WORDS)
def test_a_refusal_that_is_not_in_jumpclouds_words_is_tried_again(
    status: int, route: str, answer: dict[str, Any], hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    def ask() -> object:
        return read_insights(hook) if route == "insights" else hook.get(USERS, organization_id=ORGANIZATION)

    sandbox.set_faults({"match": {"times": 2}, "do": {**answer, "status": status}})
    ask()
    sandbox.set_faults({"match": {}, "do": {**answer, "status": status}})
    with pytest.raises(TransientError, match=rf"{status} .*tried 3 times") as raised:
        ask()
    assert raised.value.status == status


@pytest.mark.parametrize(
    "body", [{"message": "no"}, {"error": "no"}, {"code": 5, "message": "no", "status": "NOT_FOUND", "details": []}]
)
@pytest.mark.parametrize(("status", "error"), REFUSALS.items())
def test_a_refusal_in_jumpclouds_words_counts_at_once(
    status: int, error: type[RequestError], body: dict[str, Any], hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    sandbox.set_faults({"match": {}, "do": {"status": status, "body": body}})
    sandbox.clear_requests()
    with pytest.raises(error, match=f"{status} no"):
        hook.get(USERS, organization_id=ORGANIZATION)
    assert len(sandbox.requests()) == 1


def test_a_page_that_says_not_found_deletes_nobody(hook: JumpCloudHook, sandbox: Sandbox) -> None:
    page = {"status": 404, "html_body": True}
    sandbox.set_faults({"match": {"method": "DELETE"}, "do": page})
    with pytest.raises(TransientError) as raised:
        hook.delete_user(BOB, **OF)
    assert raised.value.may_have_happened
    assert user_of(sandbox, BOB) is not None
    # Nor is somebody gone whom nobody could look up.
    sandbox.set_faults({"match": {}, "do": page})
    with pytest.raises(TransientError):
        hook.find_user(BOB, **OF)
    sandbox.set_faults({"match": {"method": "DELETE", "times": 1}, "do": page})
    assert hook.delete_user(BOB, **OF)
    assert user_of(sandbox, BOB) is None
    assert not hook.delete_user(BOB, **OF)


@pytest.mark.parametrize("status", [404, 409])
def test_a_page_is_no_word_about_a_group(status: int, hook: JumpCloudHook, sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"method": "POST"}, "do": {"status": status, "html_body": True}})
    for change in (lambda: hook.remove_group_member(STAFF, BOB, **OF), lambda: hook.add_group_member(EMPTY, BOB, **OF)):
        with pytest.raises(TransientError):
            change()


def test_a_blocked_address_can_be_let_in_again(hook: JumpCloudHook, sandbox: Sandbox) -> None:
    blocked = {"status": 403, "body": {"message": "Forbidden: your IP has been blocked due to suspected abuse"}}
    sandbox.set_faults({"match": {"times": 2}, "do": blocked})
    hook.get(USERS, organization_id=ORGANIZATION)


@pytest.mark.parametrize(
    "where", ["/login", "/login?error=4014", "{url}/login/admin", "https://console.jumpcloud.com/login"]
)
@pytest.mark.parametrize("status", [302, 303])
@pytest.mark.parametrize("does", ["read", "insights", "write"])
def test_a_redirect_to_the_log_in_page_is_a_dead_credential(
    where: str, status: int, does: str, hook: JumpCloudHook, sandbox: Sandbox
) -> None:
    target = where.format(url=sandbox.url)
    sandbox.set_faults({"match": {"path_regex": "^/(api|insights)/"}, "do": {"status": status, "redirect_to": target}})
    sandbox.clear_requests()
    asks = {
        "read": lambda: hook.get(USERS, organization_id=ORGANIZATION),
        "insights": lambda: read_insights(hook),
        "write": lambda: hook.suspend_user(ADA, **OF),
    }
    with pytest.raises(CredentialError, match="log-in page") as raised:
        asks[does]()
    assert not raised.value.may_have_happened
    assert len(sandbox.requests()) == 1


def test_a_page_in_place_of_a_token_is_no_word_about_the_secret(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = {"client_id": "client", "client_secret": "s3cret", "organizations": [ORGANIZATION]}
    sandbox.set_world({"organizations": [{"id": ORGANIZATION}], "service_accounts": [account]})
    monkeypatch.setenv("AIRFLOW_CONN_ROBOT", connection_json(sandbox.url, "s3cret", login="client"))
    token = {"path_regex": "token"}
    robot = JumpCloudHook("robot", dataclasses.replace(settings, request_attempts=3))
    sandbox.set_faults({"match": {**token, "times": 2}, "do": {"status": 403, "html_body": True}})
    robot.get(USERS, organization_id=ORGANIZATION)
    robot = JumpCloudHook("robot", settings)
    sandbox.set_faults({"match": token, "do": {"status": 302, "redirect_to": f"{sandbox.url}/login"}})
    with pytest.raises(CredentialError, match="log-in page"):
        robot.get(USERS, organization_id=ORGANIZATION)
