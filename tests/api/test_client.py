"""The client's requests: connections, time limits, redirects, the organization's header, counts."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from requests.adapters import HTTPAdapter

from jumpcloud_elt.api.buffers import BufferPool
from jumpcloud_elt.errors import (
    ConfigurationError,
    JumpCloudError,
    NotEnabledError,
    PageShapeError,
    PermissionDeniedError,
    RedirectRefusedError,
    RequestError,
    TransientError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json
from support.loopback import ORGANIZATION, USERS, reply, use_service_account

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


# ---- one session ----------------------------------------------------------------------------------------------------


def test_all_requests_share_one_connection(serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    for _ in range(5):
        hook.get(USERS)
        hook.insights("events", {}, organization_id=ORGANIZATION)
        hook.run("/api/organizations")
    assert len(server.received) == 15
    assert server.connections == 1
    assert hook.get_conn() is hook.get_conn()


def test_threads_share_the_pool_and_every_request_is_counted(serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: hook.get(USERS), range(64)))
    assert hook.request_count == len(server.received) == 64
    assert server.connections <= 8


def test_a_closed_hook_opens_again(serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    for _ in range(2):
        hook.get(USERS)
        hook.close()
    assert server.connections == 2


def test_both_time_limits_go_with_every_request(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()
    limits: list[Any] = []
    send = HTTPAdapter.send

    def noting(self: HTTPAdapter, *args: Any, **kwargs: Any) -> Any:
        limits.append(kwargs["timeout"])
        return send(self, *args, **kwargs)

    monkeypatch.setattr(HTTPAdapter, "send", noting)
    hook.settings = dataclasses.replace(hook.settings, connect_timeout_seconds=7.0, read_timeout_seconds=11.0)
    hook.get(USERS)
    hook.insights("events", {}, organization_id=ORGANIZATION)
    hook.run(USERS)
    hook.run(USERS, extra_options={"timeout": 3})
    assert limits == [(7.0, 11.0), (7.0, 11.0), (7.0, 11.0), 3]


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_set(serve: Any, hook: JumpCloudHook) -> None:
    release = threading.Event()
    serve(lambda handler: release.wait(10) and None)
    hook.settings = dataclasses.replace(hook.settings, read_timeout_seconds=0.05, request_attempts=2)
    with pytest.raises(TransientError, match="no answer in time; tried 2 times") as raised:
        hook.get(USERS)
    release.set()
    assert raised.value.status is None


def test_a_server_that_is_not_there_is_tried_and_then_told(
    hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(url, API_KEY))
    with pytest.raises(TransientError, match=f"GET {USERS}: the connection was refused; tried 4 times"):
        hook.get(USERS)
    assert hook.request_count == 4


# ---- redirects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("how", ["get", "insights", "run"])
def test_a_redirect_to_another_origin_is_refused_and_the_key_stays(
    status: int, how: str, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    server = serve()
    other = serve()
    server.answers = [reply(None, status, {"Location": f"{other.url}{USERS}"})]
    calls: dict[str, Callable[[], Any]] = {
        "get": lambda: hook.get(USERS),
        "insights": lambda: hook.insights("events", {}, organization_id=ORGANIZATION),
        "run": lambda: hook.run(USERS),
    }
    with pytest.raises(RedirectRefusedError, match=f"{server.url} redirected to {other.url}"):
        calls[how]()
    assert len(server.received) == 1
    assert (other.received, other.connections) == ([], 0)
    assert waits == []


@pytest.mark.parametrize(
    "location",
    [
        "//127.0.0.1:{port}/x",
        "http://127.0.0.1:{own}@127.0.0.1:{port}/x",
        "http://localhost:{own}/x",
        "https://127.0.0.1:{own}/x",
        "http:\\\\127.0.0.1:{port}/x",
        " http://127.0.0.1:{port}/x",
        "HTTP://127.0.0.1:{port}/x",
    ],
)
def test_no_spelling_of_another_origin_gets_the_key(location: str, serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    other = serve()
    where = location.format(own=server.server_port, port=other.server_port)
    server.answers = [reply(None, 302, {"Location": where}), reply(None, 404)]
    with pytest.raises(RequestError):
        hook.get(USERS)
    assert other.connections == 0


@pytest.mark.parametrize("location", ["/api/v2/users", "{url}/api/v2/users", "v2/users"])
@pytest.mark.parametrize("how", ["get", "run"])
def test_a_redirect_within_the_origin_is_followed(location: str, how: str, serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    server.answers = [reply(None, 307, {"Location": location.format(url=server.url)}), reply({"here": 1})]
    answer = hook.get(USERS).decode() if how == "get" else hook.run(USERS).json()
    assert answer == {"here": 1}
    paths = [(path, headers["x-api-key"]) for _, path, headers in server.received]
    assert paths == [(USERS, API_KEY), ("/api/v2/users", API_KEY)]


def test_redirects_without_an_end_are_given_up(serve: Any, hook: JumpCloudHook) -> None:
    serve(reply(None, 302, {"Location": USERS}))
    with pytest.raises(RequestError, match="TooManyRedirects"):
        hook.get(USERS)


# ---- x-org-id -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        USERS,
        f"{USERS}/1",
        "/api/users",
        "/api/applications",
        "/api/v2/usergroups",
        "/api/v2/applications/1/associations",
    ],
)
def test_routes_of_one_organization_get_its_id(path: str, serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    hook.get(path, organization_id=ORGANIZATION)
    assert server.received[0][2]["x-org-id"] == ORGANIZATION


@pytest.mark.parametrize(
    "path",
    [
        "/api/organizations",
        f"/api/organizations/{ORGANIZATION}",
        "/api/search/organizations",
        "/api/v2/organizations/1/administratorlinks",
        "/api/v2/providers/1/organizations",
        "/api/v2/administrators/1/organizationlinks",
        "/api/v2/integrations/1",
    ],
)
def test_routes_that_refuse_an_organization_get_none(path: str, serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    hook.get(path, organization_id=ORGANIZATION)
    assert "x-org-id" not in server.received[0][2]


def test_directory_insights_get_the_organization_and_the_key(serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    hook.insights("events/count", {"service": ["sso"]}, organization_id=ORGANIZATION)
    [(method, path, headers)] = server.received
    assert (method, path) == ("POST", "/insights/directory/v1/events/count")
    assert (headers["x-org-id"], headers["x-api-key"]) == (ORGANIZATION, API_KEY)
    assert headers["content-type"] == "application/json"


# ---- counting events ------------------------------------------------------------------------------------------------


def test_events_are_counted_by_the_api_for_the_bounds_given(sandbox: Sandbox, hook: JumpCloudHook) -> None:
    end = datetime.now(UTC).replace(microsecond=0)
    count = hook.count_events(ORGANIZATION, ["directory", "sso"], end - timedelta(days=400), end)
    events = sandbox.organization(ORGANIZATION)["events"]
    services = {"directory", "sso"}
    inside = {
        event["id"]
        for event in events
        if event["service"] in services and event["timestamp"][:19] <= end.isoformat()[:19]
    }
    assert count == len(inside) > 0
    body = sandbox.requests()[-1]["body"]
    assert body == {
        "service": ["directory", "sso"],
        "start_time": (end - timedelta(days=400)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "end_time": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "sort": "ASC",
    }


@pytest.mark.parametrize(
    "body", [{}, {"count": None}, {"count": "3"}, {"count": True}, {"count": -1}, {"count": 1.0}, [], [3], 3, None]
)
def test_a_count_that_is_none_is_refused(body: Any, serve: Any, hook: JumpCloudHook) -> None:
    server = serve(reply(json.dumps(body).encode()))
    with pytest.raises(PageShapeError, match=r"events/count: expected \{'count': N\}, got"):
        hook.count_events(ORGANIZATION, ["sso"], START, END)
    assert len(server.received) == 1


@pytest.mark.parametrize(("state", "error"), [("not_enabled", NotEnabledError), ("forbidden", PermissionDeniedError)])
def test_an_organization_without_directory_insights_is_told_at_once(
    state: str, error: type[JumpCloudError], sandbox: Sandbox, hook: JumpCloudHook
) -> None:
    sandbox.set_organization(sandbox.organization(ORGANIZATION) | {"insights": state})
    with pytest.raises(error):
        hook.count_events(ORGANIZATION, ["sso"], START, END)
    assert len(sandbox.requests()) == 1


def test_a_wrong_connection_is_told_before_anything_is_sent(
    hook: JumpCloudHook, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, None))
    with pytest.raises(ConfigurationError, match="API key: missing"):
        hook.get(USERS)
    assert sandbox.requests() == []


# ---- answers that do not end ----------------------------------------------------------------------------------------


def trickle(*, after_headers: bool) -> Callable[[BaseHTTPRequestHandler], None]:
    """An answer of which one more byte comes every twentieth of a second, always in time for a read timeout."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        if after_headers:
            handler.wfile.write(b"Content-Length: 10000\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(400):
                handler.wfile.write(b" " if after_headers else b"x")
                handler.wfile.flush()
                time.sleep(0.05)

    return send


@pytest.mark.parametrize("after_headers", [True, False], ids=["body", "headers"])
@pytest.mark.parametrize("which", ["get", "insights", "page", "token", "run"])
def test_an_answer_that_trickles_ends_with_the_request_s_deadline(
    which: str, after_headers: bool, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(trickle(after_headers=after_headers))
    hook.settings = dataclasses.replace(hook.settings, request_deadline_seconds=0.4, request_attempts=1)
    if which == "token":
        use_service_account(monkeypatch, server.url)
    began = time.monotonic()
    with pytest.raises(TransientError, match="no answer in time"), BufferPool(1, 1) as pool:
        if which in ("get", "token"):
            hook.get(USERS)
        elif which == "run":
            hook.method = "GET"
            hook.run(USERS)
        else:
            buffer = pool.buffer() if which == "page" else None
            hook.client.insights("events", {"limit": 1}, organization_id=ORGANIZATION, buffer=buffer)
    assert 0.4 <= time.monotonic() - began < 5
    assert len(server.received) == 1
