"""V1 console API, reading: organizations, users, administrators, applications."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from jumpcloud_sandbox import tenancy
from jumpcloud_sandbox.calls import Call, Scope, json_response, route
from jumpcloud_sandbox.errors import not_found, organization_header_refused, organization_not_found
from jumpcloud_sandbox.listing import project, v1_list
from jumpcloud_sandbox.state import find
from jumpcloud_sandbox.world import Json, Organization


def list_organizations(call: Call) -> Response:
    visible = tenancy.visible_organizations(call.principal, call.state)
    return v1_list([_listed(organization) for organization in visible], call.query)


def get_organization(call: Call) -> Response:
    if call.path["id"] not in call.principal.organizations:
        raise organization_not_found()
    organization = call.state.organizations[call.path["id"]]
    insights = {"directoryInsights": {"enabled": organization["insights"] == "enabled"}}
    settings = {
        "name": organization["displayName"] or "",
        "features": insights,
        "maxSystemUsers": 0,
        **organization["settings"],
    }
    return _one(_listed(organization) | {"settings": settings}, call)


def list_users(call: Call) -> Response:
    return v1_list(call.organization["users"], call.query)


def get_user(call: Call) -> Response:
    return _one(find(call.organization["users"], call.path["id"]), call)


def list_applications(call: Call) -> Response:
    return v1_list(call.organization["applications"], call.query, default_sort="name")


def get_application(call: Call) -> Response:
    return _one(find(call.organization["applications"], call.path["id"]), call)


def list_administrators(call: Call) -> Response:
    """Of one organization; or, in worlds where the route refuses the header, of all that the key sees."""
    if not call.state.world["admins_refuse_org_header"]:
        organization = tenancy.select_organizations(call.principal, call.headers, call.state)[0]
        return v1_list(organization["administrators"], call.query)
    if any(call.headers.getlist("x-org-id")):
        raise organization_header_refused()
    rows = [
        admin | {"organization": organization["id"]}
        for organization in tenancy.visible_organizations(call.principal, call.state)
        for admin in organization["administrators"]
    ]
    return v1_list(rows, call.query)


def get_self(call: Call) -> Response:
    """The caller. The sandbox does not link keys to administrators, so only what the key says.

    That more than `provider` is told, and in these fields, is inferred from the published schema of administrators.
    """
    seen = call.principal.organizations
    row = {
        "_id": "0" * 24,
        "id": "0" * 24,
        "organization": None if call.principal.must_select else next(iter(seen), None),
        "provider": call.principal.provider_id,
        "roleName": call.principal.role,
    }
    if call.principal.expires_at is not None:
        row["apiKeyHash"] = {"prefix": call.principal.key_prefix, "expireAt": call.principal.expires_at}
    return _one(row, call)


def _listed(organization: Organization) -> Json:
    return {
        "_id": organization["id"],
        "id": organization["id"],
        "displayName": organization["displayName"],
        "logoUrl": None,
        "created": organization["created"],
    }


def _one(row: Json | None, call: Call) -> Response:
    if row is None:
        raise not_found()
    return json_response(project(row, call.query.get("fields", "").split()))


ROUTES: list[Route] = [
    route("GET", "/api/organizations", list_organizations, Scope.ACCOUNT),
    route("GET", "/api/organizations/{id}", get_organization, Scope.ACCOUNT),
    route("GET", "/api/systemusers", list_users),
    route("GET", "/api/systemusers/{id}", get_user),
    route("GET", "/api/users", list_administrators, Scope.CALLER),
    route("GET", "/api/users/getSelf", get_self, Scope.CALLER),
    route("GET", "/api/applications", list_applications),
    route("GET", "/api/applications/{id}", get_application),
]
