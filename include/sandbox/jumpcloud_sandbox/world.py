"""The world: everything the sandbox knows, as plain JSON-able data.

`normalise` fills in what a hand-written world leaves out, so that tests state only what they are
about. Payloads (users, applications, groups, events) are kept as given: they are what is served.
"""

from __future__ import annotations

import copy
from typing import Any, NotRequired, TypedDict

Json = dict[str, Any]


class SyntheticEvents(TypedDict):
    """Events rendered on demand, for benchmarks. Stand in for `events`, never beside them."""

    count: int
    start: str
    end: str
    bytes_per_event: NotRequired[int]
    users: NotRequired[list[str] | int]
    applications: NotRequired[list[str] | int]


class Organization(TypedDict):
    """One organization.

    `insights`: ``enabled``; ``not_enabled`` (402); ``forbidden`` (403); ``empty`` (200, never a row).
    `saas_applications`: null answers 402, as an organization without that licence may.
    """

    id: str
    displayName: str | None
    created: str
    settings: Json
    users: list[Json]
    administrators: list[Json]
    applications: list[Json]
    usergroups: list[Json]
    memberships: dict[str, list[str]]
    application_users: dict[str, list[str]]
    application_groups: dict[str, list[str]]
    roles: list[Json]
    saas_applications: list[Json] | None
    insights: str
    events: list[Json]
    synthetic_events: SyntheticEvents | None


class Key(TypedDict):
    """An administrator's API key. `label` stands for it in the request log, which never shows keys.

    `expires_at` (RFC 3339, null: never) is when it ends; `is_role_told`: whether its administrator can read their own
    role.
    """

    key: str
    label: str
    organizations: list[str]
    is_multi_tenant: bool
    provider_id: str | None
    role: str
    is_role_told: bool
    permission: str
    forbidden_routes: list[str]
    expires_at: str | None


class ServiceAccount(TypedDict):
    """OAuth client credentials. `token_seconds` is what `expires_in` says and does; `expires_at` as of a key."""

    client_id: str
    client_secret: str
    organizations: list[str]
    token_seconds: int
    role: str
    permission: str
    expires_at: str | None


class World(TypedDict):
    """`admins_refuse_org_header`: GET /api/users refuses `x-org-id`, as some clients found."""

    organizations: list[Organization]
    keys: list[Key]
    service_accounts: list[ServiceAccount]
    providers: list[Json]
    admins_refuse_org_header: bool


def normalise(raw: Json) -> World:
    """A complete world of its own: shares nothing with `raw`. Raises ValueError."""
    raw = copy.deepcopy(raw)
    organizations = [normalise_organization(row) for row in raw.get("organizations", [])]
    ids = [organization["id"] for organization in organizations]
    if len(set(ids)) != len(ids):
        raise ValueError("two organizations share an id")
    keys = [_key(row, number) for number, row in enumerate(raw.get("keys", []), start=1)]
    accounts = [
        ServiceAccount(
            client_id=row["client_id"],
            client_secret=row["client_secret"],
            organizations=row.get("organizations", ids),
            token_seconds=row.get("token_seconds", 3600),
            role=row.get("role", _usual_role(row)),
            permission=_permission(row),
            expires_at=row.get("expires_at"),
        )
        for row in raw.get("service_accounts", [])
    ]
    for owner in [*keys, *accounts]:
        if unknown := set(owner["organizations"]) - set(ids):
            raise ValueError(f"a key names organizations that do not exist: {sorted(unknown)}")
    return World(
        organizations=organizations,
        keys=keys,
        service_accounts=accounts,
        providers=raw.get("providers", []),
        admins_refuse_org_header=bool(raw.get("admins_refuse_org_header", False)),
    )


def normalise_organization(row: Json) -> Organization:
    """One complete organization. Raises ValueError."""
    insights = row.get("insights", "enabled")
    if insights not in ("enabled", "not_enabled", "forbidden", "empty"):
        raise ValueError(f"organization {row['id']}: insights cannot be {insights!r}")
    if row.get("events") and row.get("synthetic_events"):
        raise ValueError(f"organization {row['id']} has both events and synthetic_events")
    return Organization(
        id=row["id"],
        displayName=row.get("displayName"),
        created=row.get("created", "2021-02-11T20:57:14.837Z"),
        settings=row.get("settings", {}),
        users=[_both_ids(user) for user in row.get("users", [])],
        administrators=[_both_ids(admin) for admin in row.get("administrators", [])],
        applications=[_both_ids(application) for application in row.get("applications", [])],
        usergroups=row.get("usergroups", []),
        memberships=row.get("memberships", {}),
        application_users=row.get("application_users", {}),
        application_groups=row.get("application_groups", {}),
        roles=row.get("roles", []),
        saas_applications=row.get("saas_applications", []),
        insights=insights,
        events=row.get("events", []),
        synthetic_events=row.get("synthetic_events"),
    )


def _both_ids(row: Json) -> Json:
    """V1 rows carry `_id` and `id`; a hand-written one may give either."""
    identifier = row.get("_id", row.get("id"))
    if identifier is None:
        raise ValueError(f"a row without id: {sorted(row)}")
    return row | {"_id": identifier, "id": row.get("id", identifier)}


def _key(row: Json, number: int) -> Key:
    organizations = row["organizations"]
    return Key(
        key=row["key"],
        label=row.get("label", f"key-{number}"),
        organizations=organizations,
        is_multi_tenant=row.get("is_multi_tenant", len(organizations) > 1),
        provider_id=row.get("provider_id"),
        role=row.get("role", _usual_role(row)),
        is_role_told=row.get("is_role_told", True),
        permission=_permission(row),
        forbidden_routes=row.get("forbidden_routes", []),
        expires_at=row.get("expires_at"),
    )


def _usual_role(row: Json) -> str:
    return "Administrator With Billing" if _permission(row) == "write" else "Read Only"


def _permission(row: Json) -> str:
    permission = row.get("permission", "read")
    if permission not in ("read", "write"):
        raise ValueError(f"permission cannot be {permission!r}")
    return str(permission)
