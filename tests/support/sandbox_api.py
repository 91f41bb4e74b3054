"""A small world, and calls to the sandbox as a client makes them. No fixtures: those are in conftest."""

from __future__ import annotations

from typing import Any

import requests

from jumpcloud_sandbox.client import Sandbox

ALPHA = "a" * 24
BETA = "b" * 24
HIDDEN = "c" * 24
PROVIDER = "d" * 24
NOW = "2026-03-01T12:00:00Z"
EVENTS = "/insights/directory/v1/events"


def oid(kind: str, number: int) -> str:
    """A readable 24-hex id."""
    return f"{kind * 8}{number:016x}"


def _event(number: int, timestamp: str, **more: Any) -> dict[str, Any]:
    return {
        "id": oid("e", number),
        "service": "sso",
        "event_type": "sso_auth",
        "organization": ALPHA,
        "initiated_by": {"username": f"User{number}"},
        "timestamp": timestamp,
        **more,
    }


def _events() -> list[dict[str, Any]]:
    """60 events on two milliseconds, the rest one a minute; all fraction widths; one id twice."""
    ties = [_event(n, f"2026-02-10T10:00:00.{n // 30}{n % 30:02d}Z"[:-4] + f"0{n // 30}Z") for n in range(60)]
    ties[1]["timestamp"] = ties[0]["timestamp"].removesuffix("Z") + "0001Z"
    digits = [
        _event(100 + n, f"2026-02-11T10:{n:02d}:00" + (f".{'123456789'[:n]}" if n else "") + "Z") for n in range(10)
    ]
    login = _event(200, "2026-02-12T00:00:00Z", service="directory", event_type="user_login_attempt")
    pam = _event(201, "2026-02-12T00:00:01Z", service="access_management", event_type="access_management_x")
    future = _event(202, "2027-01-01T00:00:00Z")
    return [*ties, *digits, login, dict(login), pam, future]


def small_world() -> dict[str, Any]:
    users = [
        {
            "_id": oid("1", n),
            "username": f"user{n:03d}",
            "email": f"user{n}@x.example",
            "department": "x"[: n % 2],
        }
        for n in range(250)
    ]
    alpha = {
        "id": ALPHA,
        "displayName": "Alpha",
        "users": users,
        "administrators": [{"_id": oid("2", n), "email": f"a{n}@x.example", "organization": None} for n in range(3)],
        "applications": [
            {"_id": oid("3", n), "name": name, "organization": ALPHA, "active": n != 1}
            for n, name in enumerate(["zoom", "aws", "aws"])
        ],
        "usergroups": [
            {"id": oid("4", 0), "name": "one", "type": "user_group", "attributes": {"Hello": "World"}},
            {"id": oid("4", 1), "name": "two", "type": "user_group", "attributes": None},
        ],
        "memberships": {oid("4", 0): [oid("1", n) for n in range(120)], oid("4", 1): [oid("1", 5)]},
        "application_users": {oid("3", 0): [oid("1", 5), oid("1", 200)]},
        "application_groups": {oid("3", 0): [oid("4", 0), oid("4", 1)]},
        "roles": [{"id": oid("5", 0), "name": "Read Only", "description": "", "scopes": []}],
        "events": _events(),
    }
    beta = {"id": BETA, "users": [{"_id": oid("6", 0), "username": "solo"}], "insights": "not_enabled"}
    return {
        "organizations": [alpha, beta, {"id": HIDDEN}],
        "keys": [
            {"key": "multi", "organizations": [ALPHA, BETA], "provider_id": PROVIDER},
            {"key": "single", "organizations": [ALPHA]},
            {"key": "writer", "organizations": [ALPHA], "permission": "write"},
            {"key": "limited", "organizations": [ALPHA], "forbidden_routes": ["/insights/", "/api/users"]},
        ],
        "service_accounts": [{"client_id": "client", "client_secret": "s3cret", "organizations": [ALPHA]}],
        "providers": [{"id": PROVIDER, "administrators": [{"_id": oid("7", 0), "email": "p@msp.example"}]}],
    }


class Api:
    """Calls as a client makes them."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._session = requests.Session()
        self._session.trust_env = False

    def call(
        self, method: str, path: str, *, key: str | None = "single", org: str | None = None, **others: Any
    ) -> requests.Response:
        headers = others.pop("headers", {})
        headers |= {"x-api-key": key} if key else {}
        headers |= {"x-org-id": org} if org is not None else {}
        url = self.sandbox.url + path
        return self._session.request(method, url, headers=headers, allow_redirects=False, timeout=10, **others)

    def get(self, path: str, **others: Any) -> requests.Response:
        return self.call("GET", path, **others)

    def events(self, route: str = "", *, key: str = "single", org: str | None = None, **body: Any) -> requests.Response:
        query = {"service": ["all"], "start_time": "2026-01-01T00:00:00Z"} | body
        return self.call("POST", EVENTS + route, key=key, org=org, json=query)

    def close(self) -> None:
        self._session.close()
