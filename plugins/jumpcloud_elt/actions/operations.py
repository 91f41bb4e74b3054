"""What each action is: when it is so already, when it is refused, which call makes it so, and who makes it.

Looks at one user at a time, through the API, and changes it only after looking. Does not resolve targets, ask for
approvals or keep records: `action_plan` and `action_run` do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jumpcloud_elt.actions.models import Look
from jumpcloud_elt.actions.targets import People
from jumpcloud_elt.api import user_calls
from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.listings import row_id
from jumpcloud_elt.api.user_calls import Call
from jumpcloud_elt.api.user_state import (
    ACTIVATED,
    STAGED,
    SUSPENDED,
    differing,
    is_locked,
    is_mfa_reset,
    is_password_expired,
    state_of,
)
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import CredentialError, JumpCloudError, RequestError, TransientError
from jumpcloud_elt.landing.action_log import ActionOutcome


@dataclass(frozen=True)
class Action:
    """One action on users of one organization. `fields` and `group_id` name users and groups by id."""

    name: str
    client: JumpCloudClient
    people: People
    fields: Mapping[str, Any] = field(default_factory=dict)
    group_id: str | None = None

    def look_at_new(self) -> Look:
        """What there is to do for `create`."""
        existing = {
            row_id(user): user
            for user in (
                *self.people.by_username(str(self.fields["username"])),
                *self.people.by_email(str(self.fields["email"])),
            )
        }
        if not existing:
            return _ask(user_calls.create(self.fields))
        if len(existing) > 1:
            ids = ", ".join(existing)
            return Look(ActionOutcome.REFUSED, f"the user name is one user's and the e-mail another's ({ids})")
        ((user_id, user),) = existing.items()
        others = differing(user, {name: value for name, value in self.fields.items() if name != "state"})
        if others:
            return Look(
                ActionOutcome.REFUSED,
                f"user {user_id} has that user name or e-mail, and differs in {', '.join(others)}",
            )
        # Who was created as staged may have been activated since; nobody is created as suspended.
        state = state_of(user)
        if state == SUSPENDED or (state == STAGED and self.fields.get("state") == ACTIVATED):
            use = "unsuspend" if state == SUSPENDED else "activate"
            return Look(ActionOutcome.REFUSED, f"user {user_id} has the same data, and is {state}: use {use}")
        return Look(ActionOutcome.UNCHANGED, f"exists with the same data, as user {user_id}")

    def look_at(self, user: Row) -> Look:
        """What there is to do to a user who is there."""
        user_id, state = row_id(user), state_of(user)
        looks: dict[str, Callable[[], Look]] = {
            "activate": lambda: self._look_at_state(user, state, ACTIVATED, user_calls.activate(user_id, self._email)),
            "suspend": lambda: self._look_at_state(user, state, SUSPENDED, user_calls.suspend(user_id)),
            "unsuspend": lambda: self._look_at_state(user, state, ACTIVATED, user_calls.unsuspend(user_id)),
            "update": lambda: self._look_at_profile(user),
            "unlock": lambda: _unless(not is_locked(user), "is not locked", user_calls.unlock(user_id)),
            "force_password_reset": lambda: _unless(
                is_password_expired(user), "has an expired password", user_calls.expire_password(user_id)
            ),
            "reset_mfa": lambda: _unless(
                is_mfa_reset(user, self._exclusion_days, datetime.now(UTC)),
                "has no TOTP enrolment" + (", and these days without one" if self._exclusion_days else ""),
                user_calls.reset_mfa(user_id, self._exclusion_days),
            ),
            "add_to_group": lambda: _unless(
                self._is_member(user_id), "is a member", user_calls.change_member(self._group, user_id, "add")
            ),
            "remove_from_group": lambda: _unless(
                not self._is_member(user_id), "is no member", user_calls.change_member(self._group, user_id, "remove")
            ),
            "delete": lambda: self._look_at_reports(user_id),
        }
        return looks[self.name]()

    def create(self) -> tuple[ActionOutcome, str]:
        """Create the user; return outcome and message."""
        try:
            user = self.client.create_user(self.fields, organization_id=self.people.organization_id)
        except RequestError as error:
            # Somebody else may have created the same user at the same time.
            return self._so_meanwhile(error, self.look_at_new)
        return ActionOutcome.DONE, f"created, as user {row_id(user)}"

    def do(self, user: Row) -> tuple[ActionOutcome, str]:
        """Make the call for a user who has just been looked at; return outcome and message."""
        user_id, of = row_id(user), {"organization_id": self.people.organization_id}
        client = self.client
        doings: dict[str, Callable[[], object]] = {
            "activate": lambda: client.activate_user(user_id, email=self._email, **of),
            "suspend": lambda: client.suspend_user(user_id, **of),
            "unsuspend": lambda: client.unsuspend_user(user_id, **of),
            "update": lambda: client.update_user(user_id, differing(user, self.fields), **of),
            "unlock": lambda: client.unlock_user(user_id, **of),
            "force_password_reset": lambda: client.force_password_reset(user_id, **of),
            "reset_mfa": lambda: client.reset_mfa(user_id, exclusion_days=self._exclusion_days, **of),
            "add_to_group": lambda: client.add_group_member(self._group, user_id, **of),
            "remove_from_group": lambda: client.remove_group_member(self._group, user_id, **of),
            "delete": lambda: client.delete_user(user_id, cascade_manager=self._cascade_manager, **of),
        }
        try:
            if doings[self.name]() is False:
                return ActionOutcome.UNCHANGED, "JumpCloud says: already so"
        except RequestError as error:
            return self._so_meanwhile(error, lambda: self.look_at(client.get_user(user_id, **of)))
        return ActionOutcome.DONE, "done"

    def _so_meanwhile(self, error: RequestError, look: Callable[[], Look]) -> tuple[ActionOutcome, str]:
        """What a refused call is where somebody else has done the same meanwhile; else raises `error`."""
        # Neither is about the user.
        if not isinstance(error, TransientError | CredentialError):
            with contextlib.suppress(JumpCloudError):
                found = look()
                if found.outcome == ActionOutcome.UNCHANGED:
                    return found.outcome, found.message
        raise error

    def _look_at_state(self, user: Row, state: str, wanted: str, call: Call) -> Look:
        if state == wanted:
            return Look(ActionOutcome.UNCHANGED, f"is {wanted}")
        if self.name == "activate" and state == SUSPENDED:
            return Look(ActionOutcome.REFUSED, "is suspended, not staged: use unsuspend")
        if self.name == "unsuspend" and state == STAGED:
            return Look(ActionOutcome.REFUSED, "is staged, not suspended: use activate")
        return _ask(call)

    def _look_at_profile(self, user: Row) -> Look:
        changed = differing(user, self.fields)
        return _unless(not changed, "has these values", user_calls.update(row_id(user), changed))

    def _look_at_reports(self, user_id: str) -> Look:
        if self._cascade_manager is None:
            reports = self.people.reports_of(user_id)
            if reports:
                ids = ", ".join(row_id(report) for report in reports[:10])
                return Look(
                    ActionOutcome.REFUSED,
                    f"is the manager of {len(reports)} users ({ids}{', …' if len(reports) > 10 else ''}); allowed with "
                    "fields.cascade_manager: null (they have no manager afterwards), or their next manager's user id, "
                    "user name or e-mail",
                )
        return _ask(user_calls.delete(user_id, self._cascade_manager))

    def _is_member(self, user_id: str) -> bool:
        return self.client.is_member(self._group, user_id, organization_id=self.people.organization_id)

    @property
    def _group(self) -> str:
        return str(self.group_id)

    @property
    def _email(self) -> bool | str | None:
        email: bool | str | None = self.fields.get("email")
        return email

    @property
    def _exclusion_days(self) -> int | None:
        days: int | None = self.fields.get("exclusionDays")
        return days

    @property
    def _cascade_manager(self) -> str | None:
        manager: str | None = self.fields.get("cascade_manager")
        return manager


def _ask(call: Call) -> Look:
    return Look(ActionOutcome.ASKED, f"{call.method} {call.path}", call)


def _unless(is_so: bool, how: str, call: Call) -> Look:
    return Look(ActionOutcome.UNCHANGED, how) if is_so else _ask(call)
