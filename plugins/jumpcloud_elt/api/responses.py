"""Answers of JumpCloud's APIs: the error that a status stands for, and bodies as JSON that every parser takes."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
import requests

from jumpcloud_elt.api.buffers import Buffer
from jumpcloud_elt.api.session import dead_session, is_login_page
from jumpcloud_elt.api.transport import PROXY_LOGIN
from jumpcloud_elt.core.account import Account
from jumpcloud_elt.errors import (
    ConflictError,
    CredentialError,
    NotEnabledError,
    NotFoundError,
    OrganizationHeaderError,
    PageShapeError,
    PermissionDeniedError,
    RequestError,
    TransientError,
)

# Python's own float takes numbers that are out of range, as infinity; msgspec would refuse the page.
_decode = msgspec.json.Decoder(float_hook=float).decode


@dataclass(frozen=True)
class ApiResponse:
    """One HTTP answer: its body, its headers (looked up in any case), and how many requests it took.

    `rows`: the raw JSON of each row, where the body is an array and was read into a buffer.
    """

    body: bytes | memoryview
    headers: Mapping[str, str]
    rows: list[msgspec.Raw] | None = None
    attempts: int = 1

    def decode(self) -> Any:
        """The body as plain Python values. Raises PageShapeError."""
        try:
            return _decode(self.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise PageShapeError("expected JSON that can be read") from error


_T = TypeVar("_T")
READ_SIZE = 1 << 18
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode
_decode_rows = msgspec.json.Decoder(list[msgspec.Raw]).decode

# Half of a surrogate pair without the other, which programs that cut text in UTF-16 leave behind; whole pairs and
# all other escapes are matched first, and kept.
LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)

# What JumpCloud says with a 401 or 403 that is not about the key but about `x-org-id`.
ORGANIZATION_HEADER_MESSAGES = ("no organization selected", "organization selection not allowed")
# Refusals count in JumpCloud's own words only. A proxy, a firewall or a captive portal answers with these statuses as
# well: with a page, with nothing, or with JSON of its own, which says nothing about the key, the plan or an object.
_KINDS: dict[int, type[RequestError]] = {
    401: CredentialError,
    402: NotEnabledError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
}


def error_of(response: requests.Response, what: str, account: Account) -> RequestError:
    """Return the error that a status of 300 or more stands for; `what` names the request."""
    status, detail, connection_id = response.status_code, read_detail(response, account), account.connection_id
    told = f"{what}: {status} {detail}".rstrip()
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST and is_login_page(
        response.headers.get("Location", "")
    ):
        return dead_session(response.url)
    is_foreign = status in _KINDS and error_words(response) is None
    if is_foreign:
        told += " (not in JumpCloud's words: a proxy or a firewall may have answered)"
    is_blocked = status == 403 and ("blocked" in detail.lower() or "abuse" in detail.lower())
    # JumpCloud has answered heavy traffic with "blocked"; it says nothing about what the key may do.
    if (
        status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED)
        or is_blocked
        or is_foreign
    ):
        wait = _retry_after(response)
        asked = "" if wait is None else f" (Retry-After: {wait:.0f} s)"
        return TransientError(told + asked, status=status, detail=detail, retry_after=wait)
    kind: type[RequestError] = _KINDS.get(status, RequestError)
    advice = ""
    if status in (401, 403) and any(words in detail.lower() for words in ORGANIZATION_HEADER_MESSAGES):
        kind = OrganizationHeaderError
        advice = (
            f". This route wants {'one organization' if status == 401 else 'no organization'} named: "
            f"set Organization ids in connection {connection_id!r}."
        )
    elif status == 401:
        advice = (
            f". Connection {connection_id!r}: check that the key is complete and current, that its "
            "administrator still exists and has API access, and that Region is where the account lives."
        )
    elif status == 402:
        advice = ". The organization's plan does not include it."
    elif status == 403:
        advice = (
            f". Connection {connection_id!r}: the role of the key's administrator does not allow it, or "
            "Region is not where the account lives."
        )
    elif status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        advice = f"; {PROXY_LOGIN}"
    return kind(told + advice, status=status, detail=detail)


def read_response(
    response: requests.Response, what: str, account: Account, *, buffer: Buffer | None, expects_json: bool
) -> ApiResponse:
    """Return the answer of the request `what`, its body read into `buffer` where one is given.

    Raises `error_of` a status of 300 or more, and TransientError where the body is not JSON.
    """
    if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        raise error_of(response, what, account)
    if not expects_json and "html" not in response.headers.get("Content-Type", ""):
        # Some writes answer with nothing, or with a word; a page of HTML is a proxy's and says nothing.
        return ApiResponse(b"null", response.headers)
    try:
        return _read_json(response, buffer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise TransientError(
            f"{what}: status {response.status_code} with a body that is not JSON", status=response.status_code
        ) from error


def _read_json(response: requests.Response, buffer: Buffer | None) -> ApiResponse:
    """The answer, when it is JSON. A body that goes into a buffer stays in the connection until there is one."""
    if buffer is None:
        return ApiResponse(_readable_json(response.content, _check_syntax)[0], response.headers)
    try:
        received = buffer.read(response.iter_content(READ_SIZE))
        # Taking the rows apart checks the syntax too, and the caller needs them.
        body, rows = buffer.pool.decode(_readable_json, received, _take_apart)
        return ApiResponse(body, response.headers, rows)
    except BaseException:
        response.close()
        buffer.release()
        raise


def _take_apart(body: bytes | memoryview) -> list[msgspec.Raw] | None:
    """The rows of an array, each as it came; None where the body is something else. Raises msgspec.DecodeError."""
    try:
        return _decode_rows(body)
    except msgspec.ValidationError:
        _check_syntax(body)
        return None


def _check_syntax(body: bytes | memoryview) -> None:
    """Raise msgspec.DecodeError where the body is not JSON, without building anything."""
    _decode_raw(body)


def error_words(response: requests.Response) -> str | None:
    """Return what an error says in JumpCloud's shape, an object with `message` or `error`; None of any other."""
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    said = (body.get("message") or body.get("error")) if isinstance(body, dict) else None
    return said if isinstance(said, str) and said.strip() else None


def read_detail(response: requests.Response, account: Account) -> str:
    """Return the API's own words about an error, at most a line of them, or the reason phrase of its status."""
    words = " ".join((error_words(response) or response.reason or "").replace("\0", " ").split())
    sent = str(response.request.headers.get("Authorization") or "").rpartition(" ")[2]
    # An API may repeat what it was sent.
    for secret in filter(None, (account.secret, sent)):
        words = words.replace(secret, "***")
    if account.client_id:
        # As a whole word: `invalid_client` is none.
        words = re.sub(rf"(?<!\w){re.escape(account.client_id)}(?!\w)", "***", words)
    return words[:300]


def _readable_json(
    body: bytes | memoryview, parse: Callable[[bytes | memoryview], _T]
) -> tuple[bytes | memoryview, _T]:
    """`body` and what `parse` makes of it; what no parser would take is replaced by U+FFFD.

    That is bytes which are not UTF-8, and lone surrogates: one of them in one name must not cost an organization
    its sync. Raises msgspec.DecodeError, or RecursionError for an absurd depth.
    """
    try:
        str(body, "utf-8")
    except UnicodeDecodeError:
        body = str(body, "utf-8", "replace").encode()
    try:
        return body, parse(body)
    except msgspec.DecodeError:
        body = LONE_SURROGATE.sub(lambda found: rb"\ufffd" if found["lone"] else found[0], bytes(body))
        return body, parse(body)


def _retry_after(response: requests.Response) -> float | None:
    """Seconds to wait, from either form of the header: a number, or a date."""
    text = (response.headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]*)?", text):
        return float(text)
    try:
        return max((email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None
