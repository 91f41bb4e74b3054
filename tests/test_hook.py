"""`JumpCloudHook` as an `HttpHook`: `run`, `run_with_advanced_retry` and `get_conn` keep the client's rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import tenacity
from airflow.providers.common.compat.sdk import AirflowException
from requests.adapters import HTTPAdapter

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import ConfigurationError, RedirectRefusedError, TransientError
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json
from support.loopback import ORGANIZATION, USERS, Loopback, cut_off, hang_up, reply, use_service_account

OTHER = "b2" * 12
COUNT = "/insights/directory/v1/events/count"
ONCE = {"stop": tenacity.stop_after_attempt(1), "reraise": True}


def _run(hook: JumpCloudHook, method: str, path: str, headers: dict[str, str]) -> Any:
    hook.method = method
    return hook.run(path, headers=headers)


def _run_with_advanced_retry(hook: JumpCloudHook, method: str, path: str, headers: dict[str, str]) -> Any:
    hook.method = method
    return hook.run_with_advanced_retry(ONCE, path, headers=headers)


def _ask_session(hook: JumpCloudHook, method: str, path: str, headers: dict[str, str]) -> Any:
    return hook.get_conn().request(method, hook.account.console_url + path, headers=headers)


def _ask_session_with_headers(hook: JumpCloudHook, method: str, path: str, headers: dict[str, str]) -> Any:
    return hook.get_conn({"x-other": "1", **headers}).request(method, hook.account.console_url + path)


Ask = Callable[[JumpCloudHook, str, str, dict[str, str]], Any]
every_way = pytest.mark.parametrize("ask", [_run, _run_with_advanced_retry, _ask_session, _ask_session_with_headers])
every_change = pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])


def permit(monkeypatch: pytest.MonkeyPatch, server: Loopback, **extra: str) -> None:
    """Let `jumpcloud_default` change things, or what else its `extra` says."""
    value = connection_json(server.url, API_KEY, extra={"permission": "read_and_act", **extra})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", value)


def test_the_stock_run_answers_from_the_same_account(settings: Settings, sandbox: Sandbox, hook: JumpCloudHook) -> None:
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


# ---- retries and rate ------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("broken", [reply(None, 429), reply(None, 503), hang_up, cut_off])
def test_what_can_heal_is_asked_again(
    ask: Ask, broken: Any, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    server = serve(broken, broken, reply({"healed": True}))
    assert ask(hook, "GET", USERS, {"x-org-id": ORGANIZATION}).json() == {"healed": True}
    assert [headers["x-org-id"] for _, _, headers in server.received] == [ORGANIZATION] * 3
    assert hook.request_count == 3
    assert [1 <= waits[0] <= 2, 2 <= waits[1] <= 3] == [True, True]


def test_an_answer_that_does_not_heal_is_the_last_one(serve: Any, hook: JumpCloudHook) -> None:
    server = serve(reply(None, 503))
    with pytest.raises(AirflowException, match="503"):
        hook.run(USERS)
    assert hook.run(USERS, extra_options={"check_response": False}).status_code == 503
    assert hook.get_conn().get(server.url + USERS).status_code == 503
    assert len(server.received) == 3 * 4


@every_way
def test_no_answer_is_an_error_that_says_how_often_it_was_tried(ask: Ask, serve: Any, hook: JumpCloudHook) -> None:
    server = serve(hang_up)
    with pytest.raises(TransientError, match=f"GET {USERS}: the connection failed or broke; tried 4 times"):
        ask(hook, "GET", USERS, {})
    assert len(server.received) == 4


@every_way
def test_a_429_is_waited_for_and_slows_the_other_requests_down(
    ask: Ask, serve: Any, hook: JumpCloudHook, waits: list[float]
) -> None:
    serve(reply(None, 429, {"Retry-After": "17"}), reply())
    ask(hook, "GET", USERS, {})
    assert waits == [17]
    assert hook.client.rate_limiter.limit < math.inf


def test_the_time_limits_go_with_every_request_of_a_session(
    serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    limits: list[Any] = []
    send = HTTPAdapter.send

    def noting(self: HTTPAdapter, *args: Any, **kwargs: Any) -> Any:
        limits.append(kwargs["timeout"])
        return send(self, *args, **kwargs)

    monkeypatch.setattr(HTTPAdapter, "send", noting)
    hook.get_conn().get(server.url + USERS)
    hook.get_conn().get(server.url + USERS, timeout=3)
    assert limits == [(hook.settings.connect_timeout_seconds, hook.settings.read_timeout_seconds), 3]


@every_way
def test_a_token_that_ends_before_its_time_is_renewed_once(
    ask: Ask, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(
        reply({"access_token": "token-one"}),
        reply(),
        reply(None, 401),
        reply({"access_token": "token-two"}),
        reply({"here": 1}),
    )
    use_service_account(monkeypatch, server.url)
    ask(hook, "GET", USERS, {})
    assert ask(hook, "GET", USERS, {}).json() == {"here": 1}
    sent = [headers["authorization"] for _, path, headers in server.received if path == USERS]
    assert sent == ["Bearer token-one", "Bearer token-one", "Bearer token-two"]


# ---- what may be changed -----------------------------------------------------------------------------------------


@every_way
@every_change
def test_a_change_is_refused_unless_the_connection_permits_it(
    ask: Ask, method: str, serve: Any, hook: JumpCloudHook
) -> None:
    server = serve()
    with pytest.raises(ConfigurationError, match=r"Permission: 'read' given .* allowed: read_and_act"):
        ask(hook, method, f"{USERS}/1", {"x-org-id": ORGANIZATION})
    assert server.received == []


@every_way
@every_change
def test_a_change_that_is_permitted_is_made(
    ask: Ask, method: str, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    permit(monkeypatch, server, organization_ids=ORGANIZATION)
    assert ask(hook, method, f"{USERS}/1", {"x-org-id": ORGANIZATION}).status_code == 200
    [(sent, path, headers)] = server.received
    assert (sent, path, headers["x-org-id"]) == (method, f"{USERS}/1", ORGANIZATION)


@every_way
@pytest.mark.parametrize(("headers", "words"), [({"x-org-id": OTHER}, f"do not name {OTHER}"), ({}, "missing")])
def test_a_change_outside_the_organizations_of_the_connection_is_refused(
    ask: Ask,
    headers: dict[str, str],
    words: str,
    serve: Any,
    hook: JumpCloudHook,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve()
    permit(monkeypatch, server, organization_ids=ORGANIZATION)
    with pytest.raises(ConfigurationError, match=f"{words}.*allowed: {ORGANIZATION}"):
        ask(hook, "DELETE", f"{USERS}/1", headers)
    assert server.received == []


@every_way
def test_directory_insights_are_queried_without_a_permission(ask: Ask, serve: Any, hook: JumpCloudHook) -> None:
    server = serve(reply({"count": 3}))
    assert ask(hook, "POST", COUNT, {"x-org-id": ORGANIZATION}).json() == {"count": 3}
    assert [path for _, path, _ in server.received] == [COUNT]


@every_way
@pytest.mark.parametrize(
    "path",
    [
        "/insights/directory/v1/reports/users",
        "/insights/directory/v1/events/../../../../api/systemusers",
        "/insights/directory/v1/events/%2e%2e/%2e%2e/%2e%2e/%2e%2e/api/systemusers",
        "/insights/directory/v1/events/%2E%2E%2F..%2Fapi",
    ],
)
def test_no_spelling_of_a_change_passes_for_a_query(ask: Ask, path: str, serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    with pytest.raises(ConfigurationError, match="Permission"):
        ask(hook, "POST", path, {})
    assert server.received == []


@every_way
def test_a_query_is_not_redirected_into_a_change(ask: Ask, serve: Any, hook: JumpCloudHook) -> None:
    server = serve(reply(None, 307, {"Location": USERS}))
    with pytest.raises(ConfigurationError, match="Permission"):
        ask(hook, "POST", COUNT, {})
    assert [path for _, path, _ in server.received] == [COUNT]


@every_way
def test_a_change_that_was_not_made_is_asked_for_again(
    ask: Ask, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(reply(None, 429), reply({"made": True}))
    permit(monkeypatch, server)
    assert ask(hook, "POST", USERS, {}).json() == {"made": True}
    assert len(server.received) == 2


@every_way
def test_a_change_whose_answer_was_lost_is_not_repeated(
    ask: Ask, serve: Any, hook: JumpCloudHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(hang_up)
    permit(monkeypatch, server)
    with pytest.raises(TransientError) as raised:
        ask(hook, "POST", USERS, {})
    assert raised.value.may_have_happened
    assert len(server.received) == 1


# ---- where requests go --------------------------------------------------------------------------------------------


@every_way
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_another_origin_is_refused_and_the_key_stays(
    ask: Ask, status: int, serve: Any, hook: JumpCloudHook
) -> None:
    server = serve()
    other = serve()
    server.answers = [reply(None, status, {"Location": f"{other.url}{USERS}"})]
    with pytest.raises(RedirectRefusedError, match=f"{server.url} redirected to {other.url}"):
        ask(hook, "GET", USERS, {})
    assert other.connections == 0


def test_the_key_goes_to_no_other_address(serve: Any, hook: JumpCloudHook) -> None:
    serve()
    other = serve()
    with pytest.raises(ConfigurationError, match=f"URL: {other.url} given; .* is sent nowhere else"):
        hook.get_conn().get(other.url + USERS)
    assert other.connections == 0


@pytest.mark.parametrize(
    ("endpoint", "header"),
    [
        (USERS, ORGANIZATION),
        ("api/systemusers", ORGANIZATION),
        ("/api/organizations", None),
        ("api/organizations", None),
    ],
)
def test_the_stock_run_names_the_organization(
    endpoint: str, header: str | None, serve: Any, hook: JumpCloudHook
) -> None:
    server = serve()
    hook.run(endpoint, organization_id=ORGANIZATION)
    [(_, path, headers)] = server.received
    assert (path, headers.get("x-org-id")) == (f"/{endpoint.lstrip('/')}", header)


def test_each_api_has_its_own_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json("", API_KEY, extra={"region": "eu"}))
    hook = JumpCloudHook(method="POST")
    assert hook.method == "POST"
    assert hook.url_from_endpoint(USERS) == f"https://console.eu.jumpcloud.com{USERS}"
    assert hook.url_from_endpoint(COUNT) == f"https://api.eu.jumpcloud.com{COUNT}"
