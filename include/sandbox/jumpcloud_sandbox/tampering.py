"""What a fault does to a request before it is answered and to an answer before it is sent.

Works on whole requests and answers; breaking the connection itself is `front`'s.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jumpcloud_sandbox.calls import JSON_TYPE
from jumpcloud_sandbox.faults import Do
from jumpcloud_sandbox.state import State
from jumpcloud_sandbox.world import Json

HTML = b"<html><head><title>Attention</title></head><body><h1>Please try again later</h1></body></html>"


@dataclass
class Answer:
    """Header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def instead(do: Do) -> Answer | None:
    """The answer that a fault gives without asking the API."""
    if "redirect_to" in do:
        return Answer(do.get("status", 302), {"location": do["redirect_to"]}, b"")
    if do.get("html_body"):
        return Answer(do.get("status", 200), {"content-type": "text/html; charset=utf-8"}, HTML)
    if "status" not in do and "body" not in do:
        return None
    status = do.get("status", 200)
    body = do.get("body", {"message": HTTPStatus(status).phrase})
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, {"content-type": JSON_TYPE}, content)


def alter_request(do: Do, query: bytes, body: bytes) -> tuple[bytes, bytes]:
    """A server that serves shorter pages than it was asked for, or the first page again and again."""
    if "clamp_limit" not in do and not do.get("ignore_skip"):
        return query, body
    parameters = dict(parse_qsl(query.decode(), keep_blank_values=True))
    sent: Any = _decoded(body)
    for where in (parameters, sent):
        if not isinstance(where, dict):
            continue
        if "clamp_limit" in do and "limit" in where:
            where["limit"] = type(where["limit"])(min(int(where["limit"]), do["clamp_limit"]))
        if do.get("ignore_skip"):
            for name in ("skip", "offset", "search_after"):
                where.pop(name, None)
    return urlencode(parameters).encode(), json.dumps(sent).encode() if isinstance(sent, dict) else body


def alter_answer(do: Do, answer: Answer, request_body: bytes) -> None:
    """Tamper with a true answer."""
    answer.headers |= {name.lower(): value for name, value in do.get("headers", {}).items()}
    if do.get("repeat_cursor") and "x-search_after" in answer.headers:
        sent = _decoded(request_body)
        if isinstance(sent, dict) and sent.get("search_after"):
            answer.headers["x-search_after"] = json.dumps(sent["search_after"])
    if {"wrong_total", "null_rows", "repeat_row"}.isdisjoint(do):
        return
    body = _decoded(answer.body)
    delta = do.get("wrong_total", 0)
    if "x-total-count" in answer.headers:
        answer.headers["x-total-count"] = str(int(answer.headers["x-total-count"]) + delta)
    if isinstance(body, dict):
        for name in ("totalCount", "count"):
            if name in body:
                body[name] += delta
    rows = body.get("results") if isinstance(body, dict) else body
    if isinstance(rows, list):
        if do.get("repeat_row") and rows:
            rows.append(rows[0])
        rows[:0] = [None] * do.get("null_rows", 0)
    answer.body = json.dumps(body, ensure_ascii=False).encode()


def mutate(state: State, change: Json, organization_id: str | None) -> None:
    """Delete and add users, delete groups and applications, as somebody else does while a list is being read."""
    organization = state.organizations[str(change.get("organization_id", organization_id))]
    for kind in ("usergroups", "applications"):
        removed = set(change.get(f"delete_{kind}", []))
        organization[kind] = [row for row in organization[kind] if row["id"] not in removed]
    gone = set(change.get("delete_users", []))
    organization["users"] = [user for user in organization["users"] if user["id"] not in gone]
    for user in change.get("add_users", []):
        identifier = user.get("_id", user.get("id"))
        organization["users"].append(user | {"_id": identifier, "id": identifier})


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
