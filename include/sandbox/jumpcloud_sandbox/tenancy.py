"""Who is asking, and for which organization.

A 401 does not always mean a bad key, and a 403 not always a missing right: the messages tell them
apart, and they are those of the real API (see `errors`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.datastructures import Headers

from jumpcloud_sandbox import errors
from jumpcloud_sandbox.state import State
from jumpcloud_sandbox.world import Organization

# Routes that span organizations and refuse to be given one. As JumpCloud's own SDK lists them.
ORGANIZATION_ROUTES = re.compile(
    r"^/api/(organizations|search/organizations|v2/(organizations|providers|administrators|integrations))(/|$)"
)
KEY_PREFIX_LENGTH = 10
_OBJECT_ID = re.compile(r"[0-9a-f]{24}")


@dataclass(frozen=True)
class Principal:
    """An administrator's key, or a service account's token."""

    label: str
    organizations: tuple[str, ...]
    must_select: bool
    provider_id: str | None
    role: str | None
    can_write: bool
    forbidden_routes: tuple[str, ...]
    key_prefix: str | None = None
    expires_at: str | None = None


def authenticate(headers: Headers, state: State) -> Principal:
    """Raises ApiError 401."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        account = state.token_owner(token.strip())
        if account is None:
            raise errors.bad_token()
        return Principal(
            label=account["client_id"],
            organizations=tuple(account["organizations"]),
            must_select=True,
            provider_id=None,
            role=account["role"],
            can_write=account["permission"] == "write",
            forbidden_routes=(),
        )
    for key in state.world["keys"]:
        if key["key"] == headers.get("x-api-key") and not state.has_passed(key["expires_at"]):
            return Principal(
                label=key["label"],
                organizations=tuple(key["organizations"]),
                must_select=key["is_multi_tenant"],
                provider_id=key["provider_id"],
                role=key["role"] if key["is_role_told"] else None,
                can_write=key["permission"] == "write",
                forbidden_routes=tuple(key["forbidden_routes"]),
                key_prefix=key["key"][:KEY_PREFIX_LENGTH],
                expires_at=key["expires_at"],
            )
    raise errors.bad_key()


def check_route(principal: Principal, path: str, *, is_write: bool) -> None:
    """Raises ApiError 403 where the role does not reach."""
    if any(path.startswith(prefix) for prefix in principal.forbidden_routes):
        raise errors.forbidden()
    if is_write and not principal.can_write:
        raise errors.forbidden()


def refuse_header(headers: Headers) -> None:
    """For routes that span organizations. Raises ApiError 403. An empty header is no header."""
    if any(headers.getlist("x-org-id")):
        raise errors.organization_header_refused()


def select_organizations(principal: Principal, headers: Headers, state: State) -> list[Organization]:
    """The organizations that the request is about: one, unless several headers name several."""
    wanted = [value for value in headers.getlist("x-org-id") if value]
    if not wanted:
        if principal.must_select or not principal.organizations:
            raise errors.no_organization_selected()
        wanted = [principal.organizations[0]]
    for value in wanted:
        if not _OBJECT_ID.fullmatch(value):
            raise errors.malformed_organization_id()
        if value not in principal.organizations:
            raise errors.organization_not_found()
    return [state.organizations[value] for value in dict.fromkeys(wanted)]


def visible_organizations(principal: Principal, state: State) -> list[Organization]:
    return [state.organizations[identifier] for identifier in principal.organizations]
