"""An organization to sync and what is known of its credential, small enough for XCom."""

from __future__ import annotations

import re
from typing import NotRequired, TypedDict

import msgspec

from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import CAN_HEAL, JumpCloudError, TransientError


class Organization(TypedDict):
    """One organization to sync, small enough for XCom.

    `payload` is JSON text without secrets: an XCom in Postgres takes no NUL, and a text within may hold one.
    `error` says why it cannot be synced, where that is known before anything is asked of it: an id that the
    connection names and the key does not see, or (then without `organization_id`) a connection that fails.
    `error_can_heal`: it may be gone when it is tried again, `error_retry_after` seconds later where JumpCloud said so.
    `provider_id` is there where the key belongs to a provider, and None where it is not known whether it does;
    `credential` is what is known of the key. `also_seen_by`: further connections that reach it, and what is known of
    theirs; they do not sync it.
    """

    connection_id: str
    organization_id: str | None
    organization_name: str
    payload: str
    error: str | None
    error_can_heal: NotRequired[bool]
    error_retry_after: NotRequired[float | None]
    provider_id: NotRequired[str | None]
    credential: NotRequired[Credential]
    also_seen_by: NotRequired[dict[str, Credential]]


def note_error(organization: Organization, error: JumpCloudError) -> None:
    """Note why an organization cannot be synced, and whether and when that may be over."""
    organization["error"], organization["error_can_heal"] = str(error), isinstance(error, CAN_HEAL)
    organization["error_retry_after"] = error.retry_after if isinstance(error, TransientError) else None


def name_of(row: Row, organization_id: str) -> str:
    """The display name of an organization's row, without control characters; its id where it has none."""
    given = row.get("displayName")
    name = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    return organization_id if given is None else re.sub(r"[\x00-\x1f\x7f]", " ", name) or organization_id


YES, NO, UNKNOWN = "yes", "no", "unknown"


class Credential(TypedDict):
    """What is known of a key or secret, small enough for XCom.

    `ends_at`: naive UTC, in ISO form; None where it has no end, or where JumpCloud does not say (`is_end_told`).
    """

    roles: list[str]
    may_write: str
    may_write_reason: str
    ends_at: str | None
    is_end_told: bool
