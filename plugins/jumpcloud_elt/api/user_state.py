"""What a user's row says of its state, as far as actions ask. Reads rows of `/api/systemusers`; calls nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from jumpcloud_elt.core.streams import Row

STAGED, ACTIVATED, SUSPENDED = "STAGED", "ACTIVATED", "SUSPENDED"


def state_of(user: Row) -> str:
    """STAGED, ACTIVATED or SUSPENDED; rows of before 2021 say only whether they are suspended."""
    if user.get("state") == SUSPENDED or user.get("suspended") is True:
        return SUSPENDED
    return STAGED if user.get("state") == STAGED else ACTIVATED


def is_locked(user: Row) -> bool:
    return user.get("account_locked") is True


def is_password_expired(user: Row) -> bool:
    return user.get("password_expired") is True


def has_totp(user: Row) -> bool:
    """Whether there is a TOTP enrolment to reset: what `resetmfa` resets; WebAuthn and push it leaves alone."""
    mfa, enrollment = user.get("mfa"), user.get("mfaEnrollment")
    return (
        user.get("totp_enabled") is True
        or (isinstance(mfa, dict) and mfa.get("configured") is True)
        or (isinstance(enrollment, dict) and enrollment.get("totpStatus") == "ENROLLED")
    )


def is_mfa_reset(user: Row, exclusion_days: int | None, now: datetime) -> bool:
    """Whether there is nothing for `resetmfa` to reset, nor other `exclusion_days` without a second factor to give.

    JumpCloud tells how many days were given, or when they end, or both. An end that is within a day of what would be
    given now is the same.
    """
    if has_totp(user):
        return False
    if exclusion_days is None:
        return True
    mfa = user.get("mfa")
    if not isinstance(mfa, dict) or mfa.get("exclusion") is not True:
        return False
    until = mfa.get("exclusionUntil")
    try:
        end = datetime.fromisoformat(until) if isinstance(until, str) and until else None
    except ValueError:
        end = None
    if end is None:
        return mfa.get("exclusionDays") == exclusion_days
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return abs(end - now - timedelta(days=exclusion_days)) < timedelta(days=1)


def status_of(user: Row) -> str:
    """The status as the warehouse defines it, of somebody who is there."""
    if state_of(user) == SUSPENDED:
        return "suspended"
    if state_of(user) == STAGED:
        return "staged"
    if is_locked(user):
        return "locked"
    if is_password_expired(user):
        return "password_expired"
    return "password_pending" if user.get("activated") is False else "active"


def differing(user: Row, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `fields` that the user does not have so. Empty, null and missing are one; e-mails know no case."""
    return {name: value for name, value in fields.items() if _plain(name, user.get(name)) != _plain(name, value)}


def _plain(name: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    return value.lower() if name == "email" and isinstance(value, str) else value
