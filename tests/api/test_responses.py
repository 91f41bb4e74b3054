"""The error of each status, and bodies that are not quite JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jumpcloud_elt.api import client
from jumpcloud_elt.errors import (
    ConflictError,
    CredentialError,
    NotEnabledError,
    NotFoundError,
    OrganizationHeaderError,
    PermissionDeniedError,
    RequestError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_sandbox.client import Sandbox
from support.loopback import ORGANIZATION, USERS, reply

# ---- what is not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, {"message": "Start Time is in the future"}, RequestError, "400 Start Time is in the future"),
        (401, {"message": "Unauthorized: api key user not found"}, CredentialError, "401 .*'jumpcloud_default'"),
        (402, {"message": "Directory Insights is not enabled"}, NotEnabledError, "402 .* plan does not include"),
        (403, {"message": "Forbidden", "error": "Forbidden"}, PermissionDeniedError, "403 Forbidden.*the role"),
        (404, {"message": "Not Found"}, NotFoundError, "404 Not Found"),
        (409, {"message": "Already Exists"}, ConflictError, "409 Already Exists"),
        (410, b"<html>", RequestError, "410 Gone"),
        (401, {"message": "Unauthorized: no organization selected"}, OrganizationHeaderError, "one organization"),
        (
            403,
            {"message": "Forbidden: organization selection not allowed via header"},
            OrganizationHeaderError,
            "no organization named",
        ),
        (403, {"error": "nope\n nope"}, PermissionDeniedError, "403 nope nope"),
    ],
)
def test_a_refusal_raises_at_once(
    status: int,
    body: Any,
    error: type[RequestError],
    words: str,
    serve: Any,
    hook: JumpCloudHook,
    waits: list[float],
) -> None:
    server = serve(reply(body, status))
    with pytest.raises(RequestError, match=words) as raised:
        hook.insights("events", {}, organization_id=ORGANIZATION)
    assert type(raised.value) is error
    assert raised.value.status == status
    assert f"POST /insights/directory/v1/events of organization {ORGANIZATION}: {status}" in str(raised.value)
    assert len(server.received) == 1
    assert waits == []


def test_the_sandbox_tells_a_missing_organization_from_one_too_many(
    sandbox: Sandbox, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OrganizationHeaderError) as missing:
        hook.get(USERS)
    assert (missing.value.status, missing.value.detail) == (401, "Unauthorized: no organization selected")
    monkeypatch.setattr(client, "ROUTES_WITHOUT_ORGANIZATION", ("/nowhere",))
    with pytest.raises(OrganizationHeaderError) as refused:
        hook.get("/api/organizations", organization_id=ORGANIZATION)
    assert refused.value.status == 403


def test_long_words_of_the_api_are_cut(serve: Any, hook: JumpCloudHook) -> None:
    serve(reply({"message": "x" * 5000}, 400))
    with pytest.raises(RequestError) as raised:
        hook.get(USERS)
    assert len(str(raised.value)) < 400


# ---- bodies ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (rb'["a\ud83d"]', "a\ufffd"),
        (rb'["\uDE00b"]', "\ufffdb"),
        (rb'["\ud83d\ud83d\ude00"]', "\ufffd\U0001f600"),
        (rb'["\\ud83d \ud83d\ude00"]', "\\ud83d \U0001f600"),
        (rb'["\\\ud83d\n"]', "\\\ufffd\n"),
        (b'["caf\xe9"]', "caf\ufffd"),
        (b'["\xed\xa0\xbd\\ud83d"]', "\ufffd\ufffd\ufffd\ufffd"),
        ('["é\U0001f600"]'.encode(), "é\U0001f600"),
    ],
)
def test_text_that_is_no_unicode_costs_one_character_and_not_the_page(
    body: bytes, text: str, serve: Any, hook: JumpCloudHook
) -> None:
    serve(reply(body))
    answer = hook.get(USERS)
    assert answer.decode() == [text]
    assert json.loads(answer.body) == [text]


def test_a_body_that_is_json_comes_as_it_was_sent(serve: Any, hook: JumpCloudHook) -> None:
    body = b' [ {"a" : 1.50, "b":"\\u00e9\\ud83d\\ude00", "c": 1e999} ] '
    serve(reply(body, headers={"X-Result-Count": "1"}))
    answer = hook.get(USERS)
    assert answer.body == body
    assert answer.headers["x-result-count"] == "1"
