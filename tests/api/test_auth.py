"""Who gets the key, and how access tokens are fetched, renewed and kept out of logs."""

from __future__ import annotations

import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.log import redact

from jumpcloud_elt.api import auth
from jumpcloud_elt.errors import (
    CredentialError,
    PermissionDeniedError,
    RequestError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json
from support.loopback import ORGANIZATION, USERS, hang_up, reply, use_service_account

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
Json = dict[str, Any]


# ---- the key --------------------------------------------------------------------------------------------------------


def test_the_key_is_masked_in_logs_and_shown_by_nothing(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "jca_a-key-of-this-test-alone"
    server = serve(hang_up, reply({"message": f"key {key} is unknown"}, 503), reply({"error": key}, 401))
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(server.url, key))
    with caplog.at_level(logging.DEBUG), pytest.raises(CredentialError) as raised:
        hook.get(USERS, {"limit": 1}, organization_id=ORGANIZATION)
    assert [headers["x-api-key"] for _, _, headers in server.received] == [key] * 3
    assert redact(f"the key is {key}") == "the key is ***"
    shown = [repr(hook), repr(hook.account), str(vars(hook)), caplog.text]
    error: BaseException | None = raised.value
    while error is not None:
        shown += [str(error), repr(error), getattr(error, "detail", "")]
        error = error.__cause__ or error.__context__
    assert len(caplog.records) > 0
    assert [text for text in shown if key in text] == []


def test_a_token_and_what_it_is_asked_with_are_masked(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = {"access_token": "token-of-this-test-alone", "expires_in": 3600}
    server = serve(reply(token), reply({"message": "token-of-this-test-alone is unknown"}, 403))
    use_service_account(monkeypatch, server.url, "secret-of-this-test-alone")
    with pytest.raises(PermissionDeniedError, match=re.escape("403 *** is unknown")):
        hook.get(USERS)
    basic = server.received[0][2]["authorization"].partition(" ")[2]
    for text in ("token-of-this-test-alone", "secret-of-this-test-alone", basic):
        assert redact(f"x {text} y") == "x *** y"


# ---- service accounts -----------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The hook's clock, which stands still unless moved."""
    moved = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=lambda: moved.now, sleep=time.sleep))
    return moved


def token_requests(sandbox: Sandbox) -> int:
    return sum(entry["path"] == "/oauth2/token" for entry in sandbox.requests())


def test_a_token_is_asked_for_once_and_renewed_before_it_ends(
    sandbox: Sandbox, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace
) -> None:
    use_service_account(monkeypatch, sandbox.url)
    asked = []
    for now in (0, 10, 3539, 3541, 3541 + 3539, 3541 + 3541):
        clock.now = 1000.0 + now
        hook.get(USERS, {"limit": 1}, organization_id=ORGANIZATION)
        asked.append(token_requests(sandbox))
    assert asked == [1, 1, 1, 2, 2, 3]
    others = [entry for entry in sandbox.requests() if entry["path"] != "/oauth2/token"]
    assert {(entry["authentication"], entry["status"]) for entry in others} == {("bearer", 200)}


def test_threads_ask_for_one_token(sandbox: Sandbox, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch) -> None:
    use_service_account(monkeypatch, sandbox.url)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: hook.get(USERS, {"limit": 1}, organization_id=ORGANIZATION), range(16)))
    assert token_requests(sandbox) == 1


@pytest.mark.parametrize(("answer", "lasts"), [({"expires_in": 30}, 15), ({}, 3540), ({"expires_in": "600"}, 540)])
def test_a_token_lasts_as_long_as_its_answer_says(
    answer: Json,
    lasts: int,
    serve: Any,
    hook: JumpCloudHook,
    monkeypatch: pytest.MonkeyPatch,
    clock: SimpleNamespace,
) -> None:
    server = serve(
        reply({"access_token": "token-one"} | answer),
        reply(),
        reply(),
        reply({"access_token": "token-two"}),
        reply(),
    )
    use_service_account(monkeypatch, server.url)
    for after in (0, lasts - 1, lasts + 1):
        clock.now = 1000.0 + after
        hook.get(USERS)
    assert [headers["authorization"] for _, path, headers in server.received if path == USERS] == [
        "Bearer token-one",
        "Bearer token-one",
        "Bearer token-two",
    ]


def test_a_token_that_ends_before_its_time_is_renewed_once(
    sandbox: Sandbox, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_service_account(monkeypatch, sandbox.url)
    hook.get(USERS, {"limit": 1}, organization_id=ORGANIZATION)
    sandbox.expire_tokens()
    hook.get(USERS, {"limit": 1}, organization_id=ORGANIZATION)
    statuses = [(entry["path"], entry["status"]) for entry in sandbox.requests()]
    token, users = "/oauth2/token", USERS
    assert statuses == [(token, 200), (users, 200), (users, 401), (token, 200), (users, 200)]
    assert hook.request_count == 3


def test_a_fresh_token_that_is_refused_is_a_credential_error(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply({"access_token": "token-one"}), reply({"message": "Unauthorized"}, 401))
    use_service_account(monkeypatch, server.url)
    with pytest.raises(CredentialError):
        hook.get(USERS)
    assert len(server.received) == 2


@pytest.mark.parametrize(("status", "error"), [(400, "invalid_client"), (401, "invalid_client"), (403, "no scope")])
def test_credentials_that_get_no_token_are_a_credential_error(
    status: int, error: str, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    """Never a missing permission: that would pass for an organization without Directory Insights."""
    server = serve(reply({"error": error}, status))
    use_service_account(monkeypatch, server.url)
    with pytest.raises(CredentialError, match=f"{status} {error}.*check the client id and the client secret"):
        hook.count_events(ORGANIZATION, ["sso"], START, END)
    assert len(server.received) == 1
    assert waits == []


def test_a_client_id_that_the_token_route_repeats_is_not_shown(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be an older API key, which has no prefix to tell it by."""
    server = serve(reply({"error": "no client sandbox-client"}, 401))
    use_service_account(monkeypatch, server.url)
    with pytest.raises(CredentialError, match=r"401 no client \*\*\*\. ") as raised:
        hook.get(USERS)
    assert "sandbox-client" not in str(raised.value)


def test_the_sandbox_refuses_a_wrong_client_secret(
    sandbox: Sandbox, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_service_account(monkeypatch, sandbox.url, "wrong")
    with pytest.raises(CredentialError, match="401 invalid_client"):
        hook.get(USERS)


@pytest.mark.parametrize(
    "broken",
    [
        reply({"message": "Service Unavailable"}, 503),
        reply({"message": "Your IP has been blocked due to suspected abuse"}, 403),
        reply(b"<html>"),
        reply({}),
        reply({"access_token": None}),
        reply({"access_token": ""}),
        reply({"access_token": "x", "expires_in": "soon"}),
        reply(["x"]),
        hang_up,
    ],
)
def test_a_token_route_that_can_heal_is_asked_again(
    broken: Any, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    server = serve(broken, reply({"access_token": "token-one"}), reply({"healed": True}))
    use_service_account(monkeypatch, server.url)
    assert hook.get(USERS).decode() == {"healed": True}
    assert [path for _, path, _ in server.received] == ["/oauth2/token", "/oauth2/token", USERS]
    assert len(waits) == 1


def test_the_client_secret_follows_no_redirect(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    other = serve()
    server.answers = [reply(None, 307, {"Location": other.url})]
    use_service_account(monkeypatch, server.url)
    with pytest.raises(RequestError, match="307"):
        hook.get(USERS)
    assert other.connections == 0


def test_the_token_request_is_what_jumpcloud_documents_whatever_netrc_says(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(reply({"access_token": "token-one"}), reply())
    use_service_account(monkeypatch, server.url)
    hook.get(USERS)
    [(method, path, headers), (_, _, users)] = server.received
    assert (method, path) == ("POST", "/oauth2/token")
    assert headers["authorization"] == "Basic c2FuZGJveC1jbGllbnQ6c2FuZGJveC1zZWNyZXQ="
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert users["authorization"] == "Bearer token-one"
    assert "x-api-key" not in users
