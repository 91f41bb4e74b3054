"""What the steps of an action hand to each other: plan, filters, what was found. Does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from jumpcloud_elt.api.user_calls import Call
from jumpcloud_elt.landing.action_log import ActionOutcome, Attempt

# As the data dictionary has them, but for `deleted`: who is gone cannot be acted on.
FILTERED_STATUSES = ("active", "locked", "password_expired", "password_pending", "staged", "suspended")


class Filters(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that is given must hold; of a list, one of its texts.

    `unused_days`: `idle_days` of the mart `users` is at least that many. `role` in any case; `group` and
    `department` by name, exactly.
    """

    unused_days: int | None = None
    status: tuple[str, ...] = ()
    role: tuple[str, ...] = ()
    group: tuple[str, ...] = ()
    department: tuple[str, ...] = ()
    lifecycle: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundUsers:
    """User ids, sorted; why the warehouse cannot say where it cannot; and up to when usage has been read."""

    user_ids: tuple[str, ...]
    reason: str | None = None
    usage_until: datetime | None = None


@dataclass(frozen=True)
class Look:
    """What there is to do to one user: `outcome` is ASKED (with the call to be made), UNCHANGED, REFUSED or SKIPPED.

    `is_unfinished` as in `Entry`.
    """

    outcome: ActionOutcome
    message: str
    call: Call | None = None
    is_unfinished: bool | None = None


NO_USER = "is no longer a user of the organization"


class Plan(msgspec.Struct, kw_only=True):
    """A plan as it travels to the tasks that follow: everything but whom it is about, which is in the record.

    `calls` counts the users for whom something has to be called. `reason` says why the filters find nobody.
    """

    attempt: Attempt
    fields: dict[str, Any]
    group_id: str | None = None
    group_name: str | None = None
    filters: Filters | None = None
    calls: int = 0
    needs_approval: bool = False
    subject: str = ""
    body: str = ""
    reason: str | None = None
