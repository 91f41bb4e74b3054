"""V2 console API: groups, the graph between users, groups and applications, roles, providers, SaaS.

Graph rows carry ids only. A path lists the hops from the object asked about to the row's own object:
one hop is a direct connection, more lead through groups.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from jumpcloud_sandbox import tenancy
from jumpcloud_sandbox.calls import Call, Scope, json_response, route
from jumpcloud_sandbox.errors import ApiError, bad_request, not_found
from jumpcloud_sandbox.listing import filter_v2, page_slice, v2_envelope, v2_list, v2_page
from jumpcloud_sandbox.state import find
from jumpcloud_sandbox.world import Json, Organization

Reach = list[tuple[str, list[str | None]]]
"""Objects with the groups through which they are reached; None is a direct connection."""


def list_groups(call: Call) -> Response:
    return v2_list(call.organization["usergroups"], call.query)


def group_members(call: Call) -> Response:
    members = call.organization["memberships"].get(_group(call)["id"], [])
    return _connections("user", members, call)


def group_membership(call: Call) -> Response:
    members = call.organization["memberships"].get(_group(call)["id"], [])
    return _traversal("user", [(member, [None]) for member in members], call)


def group_applications(call: Call) -> Response:
    group = _group(call)["id"]
    applications = call.organization["application_groups"].items()
    return _traversal("application", [(app, [None]) for app, groups in applications if group in groups], call)


def user_groups(call: Call) -> Response:
    memberships = call.organization["memberships"].items()
    user = _user(call)["id"]
    return _traversal("user_group", [(group, [None]) for group, users in memberships if user in users], call)


def user_applications(call: Call) -> Response:
    user = _user(call)["id"]
    reach: Reach = []
    for application in call.organization["applications"]:
        via = dict(_application_reach(call.organization, application["id"])).get(user)
        if via:
            reach.append((application["id"], via))
    return _traversal("application", reach, call)


def application_users(call: Call) -> Response:
    return _traversal("user", _application_reach(call.organization, _application(call)["id"]), call)


def application_groups(call: Call) -> Response:
    groups = call.organization["application_groups"].get(_application(call)["id"], [])
    return _traversal("user_group", [(group, [None]) for group in groups], call)


def application_associations(call: Call) -> Response:
    """Direct edges only; `targets` is required."""
    application = _application(call)["id"]
    targets = call.query.get("targets")
    if targets == "user":
        return _connections("user", call.organization["application_users"].get(application, []), call)
    if targets == "user_group":
        return _connections("user_group", call.organization["application_groups"].get(application, []), call)
    raise bad_request("Bad Request: targets must be one of user, user_group")


def list_roles(call: Call) -> Response:
    return v2_envelope(call.organization["roles"], call.query)


def list_service_accounts(call: Call) -> Response:
    """As JumpCloud's command line client reads them; how an entry of `authConfigList` looks is inferred."""
    rows = [
        {
            "objectId": f"{number:024x}",
            "name": account["client_id"],
            "roleName": account["role"],
            "status": "ACTIVE",
            "expiresAt": account["expires_at"],
            "authConfigList": [
                {"type": "CLIENT_SECRET", "clientId": account["client_id"], "expiresAt": account["expires_at"]}
            ],
        }
        for number, account in enumerate(call.state.world["service_accounts"], start=1)
        if call.organization["id"] in account["organizations"]
    ]
    return v2_envelope(rows, call.query)


def provider_administrators(call: Call) -> Response:
    return v2_envelope(_provider(call).get("administrators", []), call.query)


def administrator_links(call: Call) -> Response:
    """Which of the provider's administrators may administer an organization."""
    organization = _known(find(list(tenancy.visible_organizations(call.principal, call.state)), call.path["id"]))
    provider = find(call.state.world["providers"], call.principal.provider_id or "") or {}
    linked = provider.get("links", {}).get(organization["id"], [])
    rows = [{"administrator": one, "organization": organization["id"]} for one in linked]
    return v2_page(rows[page_slice(call.query)], len(rows))


def provider_organizations(call: Call) -> Response:
    _provider(call)
    rows = [
        {"id": organization["id"], "name": organization["displayName"] or "", "maxSystemUsers": 0}
        for organization in tenancy.visible_organizations(call.principal, call.state)
    ]
    return v2_envelope(rows, call.query)


def saas_applications(call: Call) -> Response:
    """Undocumented: an envelope paged by `offset`. The answer without the licence is inferred."""
    rows = call.organization["saas_applications"]
    if rows is None:
        raise ApiError(402, {"message": "SaaS Management is not enabled for your organization"})
    page = rows[page_slice(call.query, offset="offset")]
    return json_response({"results": page, "totalCount": len(rows)})


def _application_reach(organization: Organization, application: str) -> Reach:
    """Users in a stable order: direct ones first, then group by group."""
    via: dict[str, list[str | None]] = {}
    for user in organization["application_users"].get(application, []):
        via.setdefault(user, []).append(None)
    for group in organization["application_groups"].get(application, []):
        for user in organization["memberships"].get(group, []):
            via.setdefault(user, []).append(group)
    return list(via.items())


def _connections(kind: str, ids: Sequence[str], call: Call) -> Response:
    """GraphConnection rows."""
    page = [_hop(kind, identifier, None) for identifier in ids[page_slice(call.query)]]
    return v2_page(page, len(ids))


def _traversal(kind: str, reach: Reach, call: Call) -> Response:
    """GraphObjectWithPaths rows. They are built for the page only: an application may reach thousands."""
    by_id = dict(reach)
    named = [{"object_id": identifier, "id": identifier, "type": kind} for identifier in by_id]
    kept = filter_v2(named, call.query)
    groups = {group["id"]: group.get("attributes") for group in call.organization["usergroups"]}
    page = []
    for row in kept[page_slice(call.query)]:
        identifier = row["id"]
        own = groups.get(identifier) if kind == "user_group" else None
        compiled: Json = dict(own or {})
        paths = []
        for group in by_id[identifier]:
            hops = [] if group is None else [_hop("user_group", group, groups.get(group))]
            compiled |= (groups.get(group) or {}) if group else {}
            paths.append([*hops, _hop(kind, identifier, own)])
        page.append({"id": identifier, "type": kind, "compiledAttributes": compiled or None, "paths": paths})
    return v2_page(page, len(kept))


def _hop(kind: str, identifier: str, attributes: Json | None) -> Json:
    return {"attributes": None, "to": {"attributes": attributes, "id": identifier, "type": kind}}


def _group(call: Call) -> Json:
    return _known(find(call.organization["usergroups"], call.path["id"]))


def _user(call: Call) -> Json:
    return _known(find(call.organization["users"], call.path["id"]))


def _application(call: Call) -> Json:
    return _known(find(call.organization["applications"], call.path["id"]))


def _provider(call: Call) -> Json:
    if call.path["id"] != call.principal.provider_id:
        raise not_found()
    return _known(find(call.state.world["providers"], call.path["id"]))


def _known(row: Json | None) -> Json:
    if row is None:
        raise not_found()
    return row


ROUTES: list[Route] = [
    route("GET", "/api/v2/usergroups", list_groups),
    route("GET", "/api/v2/usergroups/{id}/members", group_members),
    route("GET", "/api/v2/usergroups/{id}/membership", group_membership),
    route("GET", "/api/v2/usergroups/{id}/applications", group_applications),
    route("GET", "/api/v2/users/{id}/memberof", user_groups),
    route("GET", "/api/v2/users/{id}/applications", user_applications),
    route("GET", "/api/v2/applications/{id}/users", application_users),
    route("GET", "/api/v2/applications/{id}/usergroups", application_groups),
    route("GET", "/api/v2/applications/{id}/associations", application_associations),
    route("GET", "/api/v2/roles", list_roles),
    route("GET", "/api/v2/service-accounts", list_service_accounts),
    route("GET", "/api/v2/providers/{id}/administrators", provider_administrators, Scope.ACCOUNT),
    route("GET", "/api/v2/providers/{id}/organizations", provider_organizations, Scope.ACCOUNT),
    route("GET", "/api/v2/organizations/{id}/administratorlinks", administrator_links, Scope.ACCOUNT),
    route("GET", "/api/v2/saas-management/applications", saas_applications),
]
