"""The demo world's answers against the published specifications, where these lie beside the repository.

They are not redistributed with it, so elsewhere these tests are skipped. Looseness, all of it seen in
recorded traffic: the schemas forbid null nearly everywhere and the API sends it, so null is allowed; they
require nothing, so presence is not tested; fields that they do not know are allowed when named here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from jumpcloud_sandbox.app import API_ROUTES
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND, PROVIDER, UNNAMED
from jumpcloud_sandbox.insights_query import SERVICES
from support.paths import SPECIFICATIONS
from support.sandbox_api import EVENTS, NOW, Api

pytestmark = pytest.mark.skipif(
    not SPECIFICATIONS.is_dir(), reason="the published specifications do not lie beside the repository"
)

# In recorded answers or in JumpCloud's own clients, but not in the schemas.
UNKNOWN_TO_THE_SCHEMA = {
    "systemuserreturn": {"id", "account_locked_date", "systemUsername", "tags"},
    "application": {"id", "databaseAttributes", "logo", "created", "description", "learnMore", "parentApp"},
    "organization": {"id"},
    "userreturn": {"id"},
    "Administrator": {"_id"},
    "UserGroup": set(),
}
UNDOCUMENTED = {
    (
        "GET",
        "/api/users",
    ): "a stub; JumpCloud's PowerShell module lists administrators so",
    ("GET", "/api/users/getSelf"): "a stub; used by JumpCloud's own code to learn the provider",
    ("GET", "/api/v2/roles"): "a stub; used by JumpCloud's command line client",
    ("GET", "/api/v2/service-accounts"): "used by JumpCloud's command line client",
    ("GET", "/api/v2/saas-management/applications"): "a stub; two independent clients page it by offset",
    ("POST", "/oauth2/token"): "OAuth's own route on another host; in no JumpCloud specification",
}
ORGANIZATIONS = [NORTHWIND, BLUE_YONDER, UNNAMED]


def _load(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SPECIFICATIONS / f"JumpCloud.SDK.{name}.json").read_text("utf-8"))
    return document


@pytest.fixture(scope="module")
def demo() -> Iterator[Api]:
    with Sandbox.start(now=NOW) as sandbox:
        api = Api(sandbox)
        yield api
        api.close()


def _nullable(schema: Any) -> Any:
    """The schema with null allowed for every type."""
    if isinstance(schema, list):
        return [_nullable(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    loose = {name: _nullable(value) for name, value in schema.items()}
    if isinstance(loose.get("type"), str):
        loose["type"] = [loose["type"], "null"]
        if "enum" in loose:
            loose["enum"] = [*loose["enum"], None]
    return loose


def _check(document: str, definition: str, rows: list[dict[str, Any]]) -> None:
    definitions = _load(document)["definitions"]
    schema = _nullable({"$ref": f"#/definitions/{definition}", "definitions": definitions})
    validator = jsonschema.Draft4Validator(schema)
    assert rows
    for row in rows:
        errors = [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(row)]
        assert errors == []
        unknown = set(row) - set(definitions[definition]["properties"])
        assert unknown <= UNKNOWN_TO_THE_SCHEMA.get(definition, set())


def _rows(api: Api, path: str, organization: str | None) -> list[dict[str, Any]]:
    body = api.get(f"{path}{'&' if '?' in path else '?'}limit=100", key="sandbox-key", org=organization).json()
    rows: list[dict[str, Any]] = body["results"] if isinstance(body, dict) else body
    return rows


@pytest.mark.parametrize("organization", ORGANIZATIONS)
@pytest.mark.parametrize(
    ("document", "path", "definition"),
    [
        ("V1", "/api/systemusers", "systemuserreturn"),
        ("V1", "/api/applications", "application"),
        ("V1", "/api/users", "userreturn"),
        ("V2", "/api/v2/usergroups", "UserGroup"),
    ],
)
def test_rows_are_of_the_published_shape(
    demo: Api, document: str, path: str, definition: str, organization: str
) -> None:
    _check(document, definition, _rows(demo, path, organization))


def test_organizations_are_of_the_published_shape(demo: Api) -> None:
    listed = _rows(demo, "/api/organizations", None)
    _check("V1", "organization", listed)
    full = [demo.get(f"/api/organizations/{row['id']}", key="sandbox-key").json() for row in listed]
    _check("V1", "organization", full)


def test_provider_rows_are_of_the_published_shape(demo: Api) -> None:
    base = f"/api/v2/providers/{PROVIDER}"
    rows = _rows(demo, f"{base}/administrators", None)
    # Everything that an organization's administrator row has besides is served here too.
    known = set(_load("V2")["definitions"]["Administrator"]["properties"]) | {"_id"}
    _check("V2", "Administrator", [{name: row[name] for name in known & set(row)} for row in rows])
    _check("V2", "Organization", _rows(demo, f"{base}/organizations", None))


def test_graph_rows_are_of_the_published_shape(demo: Api) -> None:
    world = demo.sandbox.organization(NORTHWIND)
    group, user = world["usergroups"][0]["id"], world["users"][0]["id"]
    application = world["applications"][1]["id"]
    connections = [
        f"/api/v2/usergroups/{group}/members",
        f"/api/v2/applications/{application}/associations?targets=user",
        f"/api/v2/applications/{application}/associations?targets=user_group",
    ]
    traversals = [
        f"/api/v2/usergroups/{group}/membership",
        f"/api/v2/usergroups/{group}/applications",
        f"/api/v2/users/{user}/memberof",
        f"/api/v2/users/{user}/applications",
        f"/api/v2/applications/{application}/users",
        f"/api/v2/applications/{application}/usergroups",
    ]
    for path in connections:
        _check("V2", "GraphConnection", _rows(demo, path, NORTHWIND))
    for path in traversals:
        _check("V2", "GraphObjectWithPaths", _rows(demo, path, NORTHWIND))


@pytest.mark.parametrize(
    ("route", "more"),
    [("", {}), ("/count", {}), ("/interval", {"interval_unit": "d"}), ("/distinct", {"field": "event_type"})],
)
def test_insights_answer_in_the_published_shape(demo: Api, route: str, more: dict[str, str]) -> None:
    document = _load("DirectoryInsights")
    schema = document["paths"][f"/events{route}"]["post"]["responses"]["200"]["schema"]
    answer = demo.events(route, key="sandbox-key", org=NORTHWIND, **more)
    jsonschema.Draft4Validator(schema | {"definitions": document["definitions"]}).validate(answer.json())


def test_insights_know_exactly_the_published_services() -> None:
    query = _load("DirectoryInsights")["definitions"]["EventServiceTimeQuery"]
    published = set(query["properties"]["service"]["items"]["enum"])
    # "workflows" is newer than the specification: JumpCloud's own export app asks for it.
    assert {*SERVICES, "all"} == published | {"workflows"}


def test_every_route_is_published_or_named_with_a_reason() -> None:
    insights = EVENTS.removesuffix("/events")
    published = {
        (method.upper(), re.sub(r"\{[^}]*\}", "{id}", base + path))
        for name, base in (
            ("V1", "/api"),
            ("V2", "/api/v2"),
            ("DirectoryInsights", insights),
        )
        for path, methods in _load(name)["paths"].items()
        for method in methods
    }
    served = {(next(iter(route.methods - {"HEAD"})), route.path) for route in API_ROUTES if route.methods}
    assert served - published == set(UNDOCUMENTED)
