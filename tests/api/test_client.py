"""The hook against servers that misbehave: what is asked again, what is not, and who gets the key."""

from __future__ import annotations

import dataclasses
import email.utils
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from airflow.providers.common.compat.sdk import AirflowException
from airflow.sdk.log import redact
from requests.adapters import HTTPAdapter

from jumpcloud_elt.api import client
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.errors import (
    ConfigurationError,
    ConflictError,
    CredentialError,
    JumpCloudError,
    NotEnabledError,
    NotFoundError,
    OrganizationHeaderError,
    PageShapeError,
    PermissionDeniedError,
    RedirectRefusedError,
    RequestError,
    TransientError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json

ORGANIZATION = "5f0a1c2e9d3b4a0011223301"
USERS = "/api/systemusers"
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
Json = dict[str, Any]


class Loopback(ThreadingHTTPServer):
    """A server of this test's own: gives `answers` in turn, the last one for good, and keeps what it was sent."""

    daemon_threads = True

    def __init__(self, *answers: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answers = list(answers)
        self.received: list[tuple[str, str, dict[str, str]]] = []
        self.connections = 0
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connections += 1
        return super().get_request()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Loopback

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((self.command, self.path, headers))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


def reply(body: Any = None, status: int = 200, headers: Json | None = None) -> Callable[[BaseHTTPRequestHandler], None]:
    content = body if isinstance(body, bytes) else json.dumps(body if body is not None else {"ok": 1}).encode()

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": len(content), **(headers or {})}.items():
            handler.send_header(name, str(value))
        handler.end_headers()
        handler.wfile.write(content)

    return send


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    reply(b'{"ok":', headers={"Content-Length": 1000})(handler)
    handler.wfile.flush()
    handler.close_connection = True


@pytest.fixture
def settings() -> Settings:
    return read_settings()


@pytest.fixture
def sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox as `jumpcloud_default`."""
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY))
    return sandbox


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Loopback]]:
    """Start a `Loopback`; the first one becomes `jumpcloud_default`."""
    servers: list[Loopback] = []

    def start(*answers: Callable[[BaseHTTPRequestHandler], None]) -> Loopback:
        server = Loopback(*(answers or [reply()]))
        if not servers:
            monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(server.url, API_KEY))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, none of which happens."""
    waited: list[float] = []
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def hook(settings: Settings, waits: list[float]) -> Iterator[JumpCloudHook]:
    """A hook on whatever `jumpcloud_default` is when it is first used: 4 attempts, waits from 1 to 120 seconds."""
    patient = dataclasses.replace(settings, request_attempts=4, retry_wait_seconds=1.0, retry_wait_max_seconds=120.0)
    with JumpCloudHook(settings=patient) as opened:
        yield opened


def use_service_account(monkeypatch: pytest.MonkeyPatch, url: str, secret: str = "sandbox-secret") -> None:
    value = connection_json(url, secret, login="sandbox-client")
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", value)


# ---- one session ----------------------------------------------------------------------------------------------


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
    with pytest.raises(TransientError, match=f"GET {USERS}: the connection failed or broke; tried 4 times"):
        hook.get(USERS)
    assert hook.request_count == 4


# ---- what is asked again --------------------------------------------------------------------------------------

BROKEN = {
    "429": reply({"message": "Too Many Requests"}, 429),
    "408": reply({"message": "Request Timeout"}, 408),
    "500": reply({"message": "Technical difficulties processing your request"}, 500),
    "502 with HTML": reply(b"<html>Bad Gateway</html>", 502),
    "503": reply({"message": "Service Unavailable"}, 503),
    "504": reply(b"", 504),
    "521": reply(b"", 521),
    "529": reply(b"", 529),
    "dropped": hang_up,
    "truncated": cut_off,
    "HTML": reply(b"<html>Please try again later</html>", headers={"Content-Type": "text/html"}),
    "half of a JSON": reply(b'{"totalCount": 1, "results": [{"_id"'),
    "two JSONs": reply(b"{} {}"),
    "nothing": reply(b""),
    "not gzip": reply(b"{}", headers={"Content-Encoding": "gzip"}),
    "blocked": reply({"message": "Forbidden: your IP has been blocked due to suspected abuse"}, 403),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("method", ["get", "insights"])
def test_what_can_heal_is_asked_again(
    broken: Any, method: str, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    server = serve(broken, broken, reply({"healed": True}))
    if method == "get":
        answer = hook.get(USERS, organization_id=ORGANIZATION)
    else:
        answer = hook.insights("events", {"limit": 1}, organization_id=ORGANIZATION)
    assert answer.decode() == {"healed": True}
    assert len(server.received) == hook.request_count == 3
    assert [1 <= waits[0] <= 2, 2 <= waits[1] <= 3] == [True, True]


@pytest.mark.parametrize(
    ("name", "status"),
    [("429", 429), ("503", 503), ("502 with HTML", 502), ("HTML", 200), ("dropped", None), ("blocked", 403)],
)
def test_attempts_are_bounded_and_the_error_says_what_it_was(
    name: str, status: int | None, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    server = serve(BROKEN[name])
    with pytest.raises(TransientError, match="tried 4 times") as raised:
        hook.get(USERS, organization_id=ORGANIZATION)
    assert str(raised.value).startswith(f"GET {USERS} of organization {ORGANIZATION}: ")
    assert raised.value.status == status
    assert len(server.received) == 4
    assert len(waits) == 3


def test_waits_grow_up_to_the_maximum(serve: Any, hook: JumpCloudHook, waits: list[float]) -> None:
    serve(BROKEN["503"])
    hook.settings = dataclasses.replace(hook.settings, request_attempts=10, retry_wait_max_seconds=20.0)
    with pytest.raises(TransientError):
        hook.get(USERS)
    low = [1, 2, 4, 8, 16, 20, 20, 20, 20]
    assert [shortest <= wait <= min(shortest + 1, 20) for shortest, wait in zip(low, waits, strict=True)] == [True] * 9


@pytest.mark.parametrize("status", [429, 503, 403])
def test_retry_after_in_seconds_is_honoured(status: int, serve: Any, hook: JumpCloudHook, waits: list[float]) -> None:
    message = {"message": "blocked due to suspected abuse"}
    serve(reply(message, status, {"Retry-After": "17"}), reply(message, status, {"Retry-After": " 119 "}), reply())
    hook.get(USERS)
    assert waits == [17, 119]


def test_retry_after_as_a_date_is_honoured(serve: Any, hook: JumpCloudHook, waits: list[float]) -> None:
    moment = email.utils.format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    serve(reply(None, 429, {"Retry-After": moment}), reply())
    hook.get(USERS)
    [wait] = waits
    assert 50 < wait <= 60


@pytest.mark.parametrize("value", ["0", "-5", "soon", "nan", "inf", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct"])
def test_a_retry_after_that_asks_for_nothing_gives_the_usual_wait(
    value: str, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    serve(reply(None, 503, {"Retry-After": value}), reply())
    hook.get(USERS)
    [wait] = waits
    assert 1 <= wait <= 2


@pytest.mark.parametrize("is_date", [False, True])
def test_a_retry_after_beyond_the_maximum_fails_at_once(
    is_date: bool, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    moment = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server = serve(reply({"message": "slow down"}, 429, {"Retry-After": moment if is_date else "121"}))
    with pytest.raises(TransientError, match=r"429 slow down \(Retry-After: \d+ s\)") as raised:
        hook.get(USERS)
    assert raised.value.status == 429
    assert raised.value.retry_after is not None
    assert raised.value.retry_after > 120
    assert len(server.received) == 1
    assert waits == []


# ---- what is not ----------------------------------------------------------------------------------------------


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
        (403, b"<html>", PermissionDeniedError, "403 Forbidden"),
        (403, ["odd"], PermissionDeniedError, "403 Forbidden"),
        (403, {"message": {"deep": 1}}, PermissionDeniedError, "403 {'deep': 1}"),
        (403, {"error": "nope\n nope"}, PermissionDeniedError, "403 nope nope"),
        (401, b"\xff", CredentialError, "401 Unauthorized"),
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


# ---- redirects ------------------------------------------------------------------------------------------------


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


# ---- the stock interface of HttpHook --------------------------------------------------------------------------


def test_the_stock_run_answers_from_the_same_account(sandbox: Sandbox, hook: JumpCloudHook) -> None:
    answer = hook.run(USERS, data={"limit": 1}, headers={"x-org-id": ORGANIZATION})
    assert answer.json()["totalCount"] == len(sandbox.organization(ORGANIZATION)["users"])


def test_the_stock_run_leaves_nothing_behind_on_the_session(serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    hook.run(USERS, headers={"x-org-id": ORGANIZATION})
    hook.get("/api/organizations")
    hook.get_conn({"x-other": "1"}).get(f"{server.url}/api")
    hook.get("/api/organizations")
    sent = [(headers.get("x-org-id"), headers.get("x-other")) for _, _, headers in server.received]
    assert sent == [(ORGANIZATION, None), (None, None), (None, "1"), (None, None)]
    assert {headers["x-api-key"] for _, _, headers in server.received} == {API_KEY}
    assert server.connections == 1


def test_the_stock_run_checks_the_status_unless_told_not_to(serve: Any, hook: JumpCloudHook) -> None:
    serve(reply({"message": "no"}, 400))
    with pytest.raises(AirflowException, match="400"):
        hook.run(USERS)
    assert hook.run(USERS, extra_options={"check_response": False}).status_code == 400


# ---- the key --------------------------------------------------------------------------------------------------


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


# ---- bodies ---------------------------------------------------------------------------------------------------


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


# ---- service accounts -----------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The hook's clock, which stands still unless moved."""
    moved = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: moved.now, sleep=time.sleep))
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


# ---- x-org-id -------------------------------------------------------------------------------------------------


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


# ---- counting events ------------------------------------------------------------------------------------------


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
