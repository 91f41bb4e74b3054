"""Whose key or secret a connection has: the role behind it, whether that may write, and when it ends.

Found out by reading alone, from routes that not every key may read and that are published in part: whatever is not
told is unknown, and never an error. Nothing is written to find out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.listings import iter_rows
from jumpcloud_elt.api.pagination import iter_v1_pages
from jumpcloud_elt.core.organization import NO, UNKNOWN, YES, Credential
from jumpcloud_elt.core.streams import ADMINISTRATORS, Row
from jumpcloud_elt.core.times import parse_moment
from jumpcloud_elt.errors import ConfigurationError, JumpCloudError

log = logging.getLogger(__name__)

# In lower case: clients differ in how they spell them. Of all other roles it is not published what they may change.
WRITING_ROLES = ("administrator with billing", "administrator")
READING_ROLES = ("read only", "billing only", "command runner", "command runner with billing")
WARNING_DAYS = 30
SERVICE_ACCOUNTS = "/api/v2/service-accounts"
# Shorter ones are the same for every key ("jca_").
KEY_PREFIX_LENGTH = 8


def read_credential(client: JumpCloudClient, organization_id: str | None, now: datetime) -> Credential:
    """What JumpCloud tells of the connection's own key, which has just worked; `now` is naive UTC.

    Asks in `organization_id` where it must be in one.
    """
    if client.account.is_service_account:
        owner = _find_service_account(client, organization_id)
        is_end_told = bool(owner)
        ends_at = _end_of_secret(owner, str(client.account.client_id), now)
    else:
        owner = _find_administrator(client, organization_id)
        key = owner.get("apiKeyHash")
        is_end_told = isinstance(key, dict)
        ends_at = _moment(key.get("expireAt")) if isinstance(key, dict) else None
    roles = role_names(owner)
    may_write, reason = _may_write(roles)
    return Credential(
        roles=roles,
        may_write=may_write,
        may_write_reason=reason,
        ends_at=ends_at.isoformat() if ends_at else None,
        is_end_told=is_end_told,
    )


def warn_of_end(credential: Credential, secret_name: str, now: datetime) -> str | None:
    """A warning where the key or secret ends within WARNING_DAYS of `now` (naive UTC), or has ended."""
    ends_at = datetime.fromisoformat(credential["ends_at"]) if credential["ends_at"] else None
    if ends_at is None or ends_at - now > timedelta(days=WARNING_DAYS):
        return None
    days = (ends_at - now).days
    in_days = f"in {days} day{'s' if days > 1 else ''}" if days else "in less than a day"
    when = f"ends on {ends_at:%Y-%m-%d}, {in_days}" if ends_at > now else f"has ended on {ends_at:%Y-%m-%d}"
    return (
        f"The {secret_name} {when}. Make a new one in JumpCloud and enter it in the connection: nothing can be synced "
        "without."
    )


def _find_administrator(client: JumpCloudClient, organization_id: str | None) -> Row:
    """The administrator of the key: as they see themselves, completed by the list of administrators."""
    own = _get(client, "/api/users/getSelf", None)
    if own.get("apiKeyHash") and role_names(own):
        return own
    ids = _ids(own)
    try:
        listed = list(iter_rows(client, ADMINISTRATORS, organization_id)) if organization_id else []
    except JumpCloudError as error:
        log.info("The administrator of connection %s is not known: %s", client.account.connection_id, error)
        listed = []
    found = [row for row in listed if ids & _ids(row)]
    found = found or [row for row in listed if _is_start_of(client.account.secret, row)]
    # What the caller sees of itself wins; two who could be meant are nobody.
    return {**found[0], **{name: value for name, value in own.items() if value}} if len(found) == 1 else own


def _ids(administrator: Row) -> set[str]:
    """By what a row names an administrator; what is no text names nobody."""
    given = (administrator.get(name) for name in ("_id", "id", "email"))
    return {one for one in given if isinstance(one, str) and one}


def _is_start_of(key: str, administrator: Row) -> bool:
    digest = administrator.get("apiKeyHash")
    prefix = digest.get("prefix") if isinstance(digest, dict) else None
    return isinstance(prefix, str) and len(prefix) >= KEY_PREFIX_LENGTH and key.startswith(prefix)


def _find_service_account(client: JumpCloudClient, organization_id: str | None) -> Row:
    """The one service account that names the client id; of all others nothing can be told about this one."""
    try:
        rows = [
            row
            for page in iter_v1_pages(
                lambda params: client.get(SERVICE_ACCOUNTS, params, organization_id=organization_id), {"sort": None}
            )
            for row in page.rows
        ]
    except JumpCloudError as error:
        log.info("The service account of connection %s is not known: %s", client.account.connection_id, error)
        return {}
    found = [row for row in rows if str(client.account.client_id) in _texts(row)]
    return found[0] if len(found) == 1 else {}


def _end_of_secret(account: Row, client_id: str, now: datetime) -> datetime | None:
    """When the secret ends: as its own entry says, else as the earliest of the account's secrets, else the account.

    An account has two secrets while one replaces the other: one that has ended is not the one that works.
    """
    secrets = [one for one in account.get("authConfigList") or [] if isinstance(one, dict)]
    secrets = [one for one in secrets if client_id in _texts(one)] or secrets
    ends = [end for end in (_moment(one.get("expiresAt")) for one in secrets) if end]
    ends = [end for end in ends if end > now] or ends
    return min(ends) if ends else _moment(account.get("expiresAt"))


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a JSON value: how an entry names its client is not published."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def _get(client: JumpCloudClient, path: str, organization_id: str | None) -> Row:
    try:
        row = client.get(path, organization_id=organization_id).decode()
    except JumpCloudError as error:
        log.info("%s of connection %s: %s", path, client.account.connection_id, error)
        return {}
    return row if isinstance(row, dict) else {}


def role_names(owner: Row) -> list[str]:
    """The roles that an administrator's row names, sorted."""
    several = owner.get("roleNames")
    names = [owner.get("roleName"), *(several if isinstance(several, list) else [])]
    return sorted({name for name in names if isinstance(name, str) and name})


def _may_write(roles: Sequence[str]) -> tuple[str, str]:
    if not roles:
        return UNKNOWN, "JumpCloud does not tell this key its role, and nothing was changed to find out."
    named = f"{'Role' if len(roles) == 1 else 'Roles'} {', '.join(roles)}"
    known = [role.lower() for role in roles]
    if any(role in WRITING_ROLES for role in known):
        return YES, f"{named} may change users."
    if all(role in READING_ROLES for role in known):
        return NO, f"{named} may not change users. Give the key's administrator a role that may."
    return (
        UNKNOWN,
        f"{named}: what that may change is not published, and nothing was changed to find out.",
    )


def _moment(text: object) -> datetime | None:
    """A time of JumpCloud's, as naive UTC; None for none, and for the zero time that stands for never."""
    if not isinstance(text, str):
        return None
    try:
        moment = parse_moment(text, "time")
    except ConfigurationError:
        return None
    return moment if moment.year > 1970 else None
