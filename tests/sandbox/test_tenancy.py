"""Keys, tokens and organizations: which answer a client gets for which credential and header."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest
import requests

from support.sandbox_api import ALPHA, BETA, EVENTS, HIDDEN, PROVIDER, Api

BAD_KEY = {"error": "Unauthorized", "message": "Unauthorized: api key user not found"}
NO_ORGANIZATION = {"message": "Unauthorized: no organization selected"}
HEADER_REFUSED = {
    "message": "Forbidden: organization selection not allowed via header",
    "error": "Forbidden: organization selection not allowed via header",
}
ROLES = "/api/v2/roles"


@pytest.mark.parametrize("key", ["wrong", None])
@pytest.mark.parametrize("path", ["/api/systemusers", ROLES, "/api/organizations"])
def test_a_bad_key_is_401_with_the_observed_body(api: Api, key: str | None, path: str) -> None:
    answer = api.get(path, key=key)
    assert (answer.status_code, answer.json()) == (401, BAD_KEY)


@pytest.mark.parametrize("org", [None, ""])
@pytest.mark.parametrize("path", ["/api/systemusers", ROLES, "/api/users"])
def test_a_multi_tenant_key_must_select_an_organization(api: Api, org: str | None, path: str) -> None:
    answer = api.get(path, key="multi", org=org)
    assert (answer.status_code, answer.json()) == (401, NO_ORGANIZATION)


def test_insights_say_the_same(api: Api) -> None:
    answer = api.events(key="multi")
    assert (answer.status_code, answer.json()) == (401, NO_ORGANIZATION)


@pytest.mark.parametrize("org", [None, "", ALPHA])
def test_a_single_tenant_key_need_not_select_one(api: Api, org: str | None) -> None:
    assert api.get("/api/systemusers", org=org).json()["totalCount"] == 250


def test_the_header_selects_the_organization(api: Api) -> None:
    assert api.get("/api/systemusers", key="multi", org=BETA).json()["totalCount"] == 1


@pytest.mark.parametrize(("org", "status"), [("nonsense", 400), ("f" * 24, 404), (HIDDEN, 404)])
def test_ids_that_cannot_be_selected(api: Api, org: str, status: int) -> None:
    assert api.get("/api/systemusers", key="multi", org=org).status_code == status


@pytest.mark.parametrize(
    "path",
    ["/api/organizations", f"/api/organizations/{ALPHA}", f"/api/v2/providers/{PROVIDER}/administrators"],
)
def test_organization_routes_refuse_the_header(api: Api, path: str) -> None:
    answer = api.get(path, key="multi", org=ALPHA)
    assert (answer.status_code, answer.json()) == (403, HEADER_REFUSED)
    assert api.get(path, key="multi", org="").status_code == 200


def test_a_key_sees_its_organizations_and_no_other(api: Api) -> None:
    rows = api.get("/api/organizations", key="multi").json()["results"]
    assert [row["id"] for row in rows] == [ALPHA, BETA]
    assert set(rows[0]) == {"_id", "id", "displayName", "logoUrl", "created"}
    assert rows[1]["displayName"] is None
    assert [row["id"] for row in api.get("/api/organizations").json()["results"]] == [ALPHA]
    assert api.get(f"/api/organizations/{HIDDEN}", key="multi").status_code == 404
    features = api.get(f"/api/organizations/{BETA}", key="multi").json()["settings"]["features"]
    assert features["directoryInsights"]["enabled"] is False


def test_forbidden_routes_are_403_and_others_are_not(api: Api) -> None:
    assert api.events(key="limited").status_code == 403
    assert api.get("/api/users", key="limited").status_code == 403
    assert api.get("/api/systemusers", key="limited").status_code == 200


def test_administrators_take_the_header_in_one_world_and_refuse_it_in_another(api: Api) -> None:
    assert api.get("/api/users", key="multi", org=ALPHA).json()["results"][0]["organization"] is None
    api.sandbox.set_world(api.sandbox.world() | {"admins_refuse_org_header": True})
    refused = api.get("/api/users", key="multi", org=ALPHA)
    assert (refused.status_code, refused.json()) == (403, HEADER_REFUSED)
    rows = api.get("/api/users", key="multi").json()["results"]
    assert [row["organization"] for row in rows] == [ALPHA] * 3


def test_get_self_names_the_provider(api: Api) -> None:
    assert api.get("/api/users/getSelf?fields=provider", key="multi").json()["provider"] == PROVIDER


def test_a_key_tells_its_role_and_its_end_and_is_unknown_once_that_has_passed(api: Api) -> None:
    world = api.sandbox.world()
    ends = "2099-01-01T00:00:00Z"
    keys = [
        {"key": "lasting-key", "organizations": [ALPHA], "expires_at": ends, "permission": "write"},
        {"key": "ended", "organizations": [ALPHA], "expires_at": "2020-01-01T00:00:00Z"},
        {"key": "silent", "organizations": [ALPHA], "is_role_told": False},
    ]
    api.sandbox.set_world(world | {"keys": keys})
    told = api.get("/api/users/getSelf", key="lasting-key").json()
    assert told["roleName"] == "Administrator With Billing"
    assert told["apiKeyHash"] == {"prefix": "lasting-ke", "expireAt": ends}
    assert api.get("/api/users/getSelf", key="silent").json()["roleName"] is None
    assert api.get("/api/users", key="ended").status_code == 401


def test_service_accounts_are_listed_with_the_end_of_their_secret_and_get_no_token_after_it(api: Api) -> None:
    (row,) = api.get("/api/v2/service-accounts").json()["results"]
    assert (row["name"], row["roleName"], row["expiresAt"]) == ("client", "Read Only", None)
    account = {"client_id": "client", "client_secret": "s3cret", "expires_at": "2020-01-01T00:00:00Z"}
    api.sandbox.set_world(api.sandbox.world() | {"service_accounts": [account]})
    assert _token(api).status_code == 401


def test_provider_routes_answer_their_own_provider_only(api: Api) -> None:
    rows = api.get(f"/api/v2/providers/{PROVIDER}/organizations", key="multi").json()
    assert rows["totalCount"] == 2
    assert api.get(f"/api/v2/providers/{PROVIDER}/administrators").status_code == 404


def _token(api: Api, secret: str = "s3cret", scope: str = "api") -> requests.Response:
    return requests.post(
        f"{api.sandbox.url}/oauth2/token",
        data={"grant_type": "client_credentials", "scope": scope},
        auth=("client", secret),
        timeout=10,
    )


def test_a_service_account_gets_a_token_that_works_until_it_ends(api: Api) -> None:
    answer = _token(api).json()
    assert answer["expires_in"] == 3600
    bearer = {"authorization": f"Bearer {answer['access_token']}"}
    assert api.get("/api/systemusers", key=None, org=ALPHA, headers=dict(bearer)).status_code == 200
    without = api.get("/api/systemusers", key=None, headers=dict(bearer))
    assert (without.status_code, without.json()) == (401, NO_ORGANIZATION)
    api.sandbox.expire_tokens()
    assert api.get("/api/systemusers", key=None, org=ALPHA, headers=dict(bearer)).status_code == 401


def test_token_errors(api: Api) -> None:
    assert _token(api, secret="wrong").status_code == 401
    assert _token(api, scope="other").status_code == 403


def test_several_organization_headers_are_for_insights_only(api: Api) -> None:
    # By hand, because requests cannot repeat a header.
    connection = http.client.HTTPConnection(urlsplit(api.sandbox.url).netloc, timeout=10)
    alpha = api.sandbox.organization(ALPHA)
    organization = alpha | {"id": BETA, "events": [event | {"organization": BETA} for event in alpha["events"]]}
    api.sandbox.set_organization(organization)
    body = json.dumps({"service": ["all"], "start_time": "2026-01-01T00:00:00Z"})
    statuses = []
    for method, path in (("POST", f"{EVENTS}/count"), ("GET", "/api/systemusers")):
        connection.putrequest(method, path)
        for name, value in (("x-api-key", "multi"), ("x-org-id", ALPHA), ("x-org-id", BETA)):
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body.encode())
        response = connection.getresponse()
        statuses.append(response.status)
        content = json.loads(response.read())
        if method == "POST":
            assert content["count"] == 2 * api.events("/count").json()["count"]
    connection.close()
    assert statuses == [200, 400]
