"""The outermost layer: faults, latency and the request log, around the API proper.

Answers are buffered whole, so that they can be tampered with. Control routes pass untouched.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jumpcloud_sandbox import tampering, tenancy
from jumpcloud_sandbox.errors import ApiError
from jumpcloud_sandbox.faults import Do, Seen
from jumpcloud_sandbox.state import State
from jumpcloud_sandbox.tampering import Answer

CONTROL = "/_sandbox/"


class Front:
    """ASGI middleware. Must be the outermost, for it reaches for the server's transport."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(CONTROL):
            await self._app(scope, receive, send)
            return
        log = self._state.log
        log.in_flight += 1
        log.max_in_flight = max(log.max_in_flight, log.in_flight)
        try:
            await self._serve(scope, receive, send)
        finally:
            log.in_flight -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        headers = Headers(scope=scope)
        label, organization_id = self._who(headers)
        query = scope["query_string"]
        seen = Seen(scope["method"], scope["path"], query.decode("latin-1"), body, organization_id)
        number, do = self._state.faults.choose(seen) or (None, Do())
        delay = self._state.latency_ms + do.get("latency_ms", 0)
        if delay:
            await asyncio.sleep(delay / 1000)
        answer: Answer | None = None
        if do.get("acted"):
            await self._ask(scope, body)
        if not do.get("drop_connection"):
            answer = tampering.instead(do)
            if answer is None:
                scope["query_string"], altered = tampering.alter_request(do, query, body)
                answer = await self._ask(scope, altered)
            tampering.alter_answer(do, answer, body)
        if "mutate" in do:
            tampering.mutate(self._state, do["mutate"], organization_id)
        self._log(seen, headers, label, number, answer)
        if answer is None:
            _reset(send)
        else:
            await _send(send, answer, truncate=bool(do.get("truncate_body")))
        if answer is None or do.get("truncate_body"):
            # Until uvicorn has noticed: else it reports an application that forgot to answer.
            await receive()

    async def _ask(self, scope: Scope, body: bytes) -> Answer:
        """The API's answer, whole."""
        answer = Answer(500, {}, b"")

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        await self._app(scope, receive, send)
        return answer

    def _who(self, headers: Headers) -> tuple[str | None, str | None]:
        """Key label and effective organization, None where there is none."""
        try:
            principal = tenancy.authenticate(headers, self._state)
        except ApiError:
            return None, headers.get("x-org-id")
        single = None if principal.must_select else next(iter(principal.organizations), None)
        return principal.label, headers.get("x-org-id") or single

    def _log(self, seen: Seen, headers: Headers, label: str | None, fault: int | None, answer: Answer | None) -> None:
        """Bodies only of Directory Insights: others may hold passwords or client secrets."""
        is_insights = seen.path.startswith("/insights/")
        self._state.log.entries.append(
            {
                "method": seen.method,
                "path": seen.path,
                "query": seen.query,
                "body": _json(seen.body) if is_insights else None,
                "organization_headers": headers.getlist("x-org-id"),
                "organization_id": seen.organization_id,
                "authentication": _scheme(headers),
                "key": label,
                "user_agent": headers.get("user-agent"),
                "status": answer.status if answer else None,
                "bytes": len(answer.body) if answer else 0,
                "fault": fault,
            }
        )


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _send(send: Send, answer: Answer, *, truncate: bool) -> None:
    answer.headers["content-length"] = str(len(answer.body))
    headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    if truncate:
        half = answer.body[: len(answer.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
        _transport(send).close()
    else:
        await send({"type": "http.response.body", "body": answer.body})


def _reset(send: Send) -> None:
    """Break the connection so that the client sees a reset, not an orderly end."""
    transport = _transport(send)
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.abort()


def _transport(send: Send) -> Any:
    """ASGI has no way to break a connection; uvicorn's `send` is a method of what holds the transport."""
    return send.__self__.transport  # type: ignore[attr-defined]


def _scheme(headers: Headers) -> str | None:
    if "authorization" in headers:
        return headers["authorization"].partition(" ")[0].lower()
    return "api_key" if "x-api-key" in headers else None


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
