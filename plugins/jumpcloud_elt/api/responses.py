"""From an HTTP response to rows or to an error of this package."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NoReturn, TypeVar

import msgspec
import requests

from jumpcloud_elt.api.buffers import Buffer
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

    `rows` are those of the body, each as it came, where whoever read it has taken it apart.
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


def _raise_for_status(response: requests.Response, what: str, account: Account) -> NoReturn:
    status, detail, connection_id = response.status_code, _detail(response, account), account.connection_id
    told = f"{what}: {status} {detail}".rstrip()
    is_blocked = status == 403 and ("blocked" in detail.lower() or "abuse" in detail.lower())
    # JumpCloud has answered heavy traffic with "blocked"; it says nothing about what the key may do.
    if (
        status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
        or (status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED)
        or is_blocked
    ):
        wait = _retry_after(response)
        asked = "" if wait is None else f" (Retry-After: {wait:.0f} s)"
        raise TransientError(told + asked, status=status, detail=detail, retry_after=wait)
    if status in (401, 403) and any(words in detail.lower() for words in ORGANIZATION_HEADER_MESSAGES):
        raise OrganizationHeaderError(
            f"{told}. This route wants {'one organization' if status == 401 else 'no organization'} named: "
            f"set Organization ids in connection {connection_id!r}.",
            status=status,
            detail=detail,
        )
    if status == 401:
        raise CredentialError(
            f"{told}. Connection {connection_id!r}: check that the key is complete and current, that its "
            "administrator still exists and has API access, and that Region is where the account lives.",
            status=status,
            detail=detail,
        )
    if status == 402:
        raise NotEnabledError(f"{told}. The organization's plan does not include it.", status=status, detail=detail)
    if status == 403:
        raise PermissionDeniedError(
            f"{told}. Connection {connection_id!r}: the role of the key's administrator does not allow it, or "
            "Region is not where the account lives.",
            status=status,
            detail=detail,
        )
    if status == 404:
        raise NotFoundError(told, status=status, detail=detail)
    if status == 409:
        raise ConflictError(told, status=status, detail=detail)
    raise RequestError(told, status=status, detail=detail)


def _read_answer(response: requests.Response, buffer: Buffer | None) -> ApiResponse:
    """The answer, when it is JSON. A body that is to have a buffer waits in the connection until there is one."""
    if buffer is None:
        return ApiResponse(_readable_json(response.content, _check_syntax)[0], response.headers)
    try:
        received = buffer.read(response.iter_content(READ_SIZE))
        # Taking the rows apart checks the syntax as well, and whoever asked needs them.
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


def _detail(response: requests.Response, account: Account) -> str:
    """The API's own words, from any of the shapes in which it says them; never more than a line."""
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return response.reason or ""
    message = (body.get("message") or body.get("error")) if isinstance(body, dict) else None
    words = " ".join(str(message or response.reason or "").split())
    sent = str(response.request.headers.get("Authorization") or "").rpartition(" ")[2]
    # An API may repeat what it was sent.
    for secret in filter(None, (account.secret, sent)):
        words = words.replace(secret, "***")
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


def _transport_message(error: requests.RequestException) -> str:
    """What broke, in a few words: the exception's text holds whole URLs and object addresses."""
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke before the body was complete"
    if isinstance(error, requests.exceptions.SSLError):
        return "the TLS connection failed"
    return "the connection failed or broke"
