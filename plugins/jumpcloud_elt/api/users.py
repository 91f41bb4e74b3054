"""What can be done to users, one method each.

Before a change whose answer was lost is tried again, the user is read to see whether it has happened. Does not decide
who may be changed, asks for no approval and keeps no record: the Dag jumpcloud_user_action does.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from jumpcloud_elt.api import user_calls
from jumpcloud_elt.api.pagination import iter_v1_pages, iter_v2_pages
from jumpcloud_elt.api.responses import ApiResponse
from jumpcloud_elt.api.user_calls import Call
from jumpcloud_elt.api.user_state import (
    ACTIVATED,
    SUSPENDED,
    differing,
    is_locked,
    is_mfa_reset,
    is_password_expired,
    state_of,
)
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import ConflictError, NotFoundError, PageShapeError

# JumpCloud never returns these, so they cannot be compared.
_WRITE_ONLY = ("password", "ssh_keys", "public_key", "tags")


class UserMethods:
    """Methods that read and change users, on top of `get` and `write`: those of `JumpCloudClient` and `JumpCloudHook`.

    Every method takes the `organization_id` (24 hexadecimal digits) by name; users and groups of other organizations
    are not found. Methods that change something raise ConfigurationError unless the connection says
    ``read_and_act``, PermissionDeniedError where the key's role does not allow it, NotFoundError, ConflictError
    (409), RequestError (400, with JumpCloud's own message), and TransientError where no attempt was answered and the
    change is not visible: it may still happen. Every error says in `may_have_happened` whether an answer was lost.
    """

    @abstractmethod
    def get(
        self, path: str, params: Mapping[str, Any] | None = None, *, organization_id: str | None = None
    ) -> ApiResponse: ...

    @abstractmethod
    def write(self, call: Call, *, organization_id: str, has_happened: Callable[[], bool]) -> ApiResponse | None: ...

    # ---- reading -----------------------------------------------------------------------------------------

    def get_user(self, user_id: str, *, organization_id: str) -> Row:
        """Return a user as JumpCloud has it: the decoded JSON of ``/api/systemusers/{id}``. Raises NotFoundError."""
        return _as_user(self.get(f"{user_calls.USERS_PATH}/{user_id}", organization_id=organization_id))

    def find_user(self, user_id: str, *, organization_id: str) -> Row | None:
        """Return the same, None where there is no such user in the organization."""
        try:
            return self.get_user(user_id, organization_id=organization_id)
        except NotFoundError:
            return None

    def iter_users(self, *, organization_id: str, filter: str | None = None) -> Iterator[Row]:
        """Yield users, all or those of a V1 filter such as ``username:$eq:ada``, which is case-sensitive."""
        params = {} if filter is None else {"filter": filter}
        for page in iter_v1_pages(
            lambda query: self.get(user_calls.USERS_PATH, query, organization_id=organization_id), params
        ):
            yield from page.rows

    def iter_groups(self, *, organization_id: str) -> Iterator[Row]:
        """Yield the user groups of an organization: dictionaries with `id`, `name` and more."""
        for page in iter_v2_pages(lambda query: self.get("/api/v2/usergroups", query, organization_id=organization_id)):
            yield from page.rows

    def groups_of(self, user_id: str, *, organization_id: str) -> set[str]:
        """The ids of the user groups that a user is a member of. Raises NotFoundError where there is no such user."""
        path = f"/api/v2/users/{user_id}/memberof"
        pages = iter_v2_pages(lambda query: self.get(path, query, organization_id=organization_id))
        return {str(row.get("id")) for page in pages for row in page.rows}

    def is_member(self, group_id: str, user_id: str, *, organization_id: str) -> bool:
        """Whether a user is a member of a user group. Raises NotFoundError where there is no such user."""
        return group_id in self.groups_of(user_id, organization_id=organization_id)

    # ---- writing -----------------------------------------------------------------------------------------

    def create_user(self, fields: Mapping[str, Any], *, organization_id: str) -> Row:
        """Create a user and return it as JumpCloud answers.

        :param fields: ``username`` and ``email``, and what else JumpCloud takes of a new user (``firstname``,
            ``state`` STAGED or ACTIVATED, …), under its own names. A ``password`` is masked in logs.

        Raises RequestError (status 400) where a user with that name or e-mail exists; a user that the lost first
        try has made, with these very fields, is returned.
        """
        compared = {name: value for name, value in fields.items() if name not in _WRITE_ONLY}
        made: list[Row] = []

        def has_happened() -> bool:
            found = self.iter_users(organization_id=organization_id, filter=f"username:$eq:{fields['username']}")
            made[:] = [user for user in found if not differing(user, compared)]
            return bool(made)

        answer = self.write(user_calls.create(fields), organization_id=organization_id, has_happened=has_happened)
        return made[0] if answer is None else _as_user(answer)

    def update_user(self, user_id: str, fields: Mapping[str, Any], *, organization_id: str) -> Row:
        """Change some fields of a user, under JumpCloud's names; return the user afterwards."""
        compared = {name: value for name, value in fields.items() if name not in _WRITE_ONLY}
        return self._change(
            user_calls.update(user_id, fields), user_id, organization_id, lambda user: not differing(user, compared)
        )

    def suspend_user(self, user_id: str, *, organization_id: str) -> Row:
        """Suspend a user, whatever the state; return the user afterwards."""
        return self._change(
            user_calls.suspend(user_id), user_id, organization_id, lambda user: state_of(user) == SUSPENDED
        )

    def unsuspend_user(self, user_id: str, *, organization_id: str) -> Row:
        """Set a user's state to ACTIVATED; return the user afterwards."""
        return self._change(
            user_calls.unsuspend(user_id), user_id, organization_id, lambda user: state_of(user) == ACTIVATED
        )

    def activate_user(self, user_id: str, *, organization_id: str, email: bool | str | None = None) -> None:
        """Activate a staged user.

        :param email: whether JumpCloud sends its activation e-mail, or the address to send it to; None leaves it to
            JumpCloud.

        Raises RequestError (status 400) for one who is not staged.
        """
        self._do(
            user_calls.activate(user_id, email), user_id, organization_id, lambda user: state_of(user) == ACTIVATED
        )

    def unlock_user(self, user_id: str, *, organization_id: str) -> None:
        """Unlock a user who is locked out."""
        self._do(user_calls.unlock(user_id), user_id, organization_id, lambda user: not is_locked(user))

    def force_password_reset(self, user_id: str, *, organization_id: str) -> None:
        """Expire a user's password: it must be changed at the next log-in."""
        self._do(user_calls.expire_password(user_id), user_id, organization_id, is_password_expired)

    def reset_mfa(self, user_id: str, *, organization_id: str, exclusion_days: int | None = None) -> None:
        """Reset a user's TOTP enrolment.

        :param exclusion_days: days within which the user can still log in without, to enrol anew; None: JumpCloud's
            default.
        """

        def is_reset(user: Row) -> bool:
            return is_mfa_reset(user, exclusion_days, datetime.now(UTC))

        self._do(user_calls.reset_mfa(user_id, exclusion_days), user_id, organization_id, is_reset)

    def delete_user(self, user_id: str, *, organization_id: str, cascade_manager: str | None = None) -> bool:
        """Delete a user. Return True, or False where there was none.

        :param cascade_manager: for a manager: the user id of the reports' next manager, or ``"null"`` for none.
            Without it JumpCloud refuses to delete a manager: ConflictError.
        """

        def is_gone() -> bool:
            return self.find_user(user_id, organization_id=organization_id) is None

        call = user_calls.delete(user_id, cascade_manager)
        try:
            self.write(call, organization_id=organization_id, has_happened=is_gone)
        except NotFoundError:
            return False
        return True

    def add_group_member(self, group_id: str, user_id: str, *, organization_id: str) -> bool:
        """Make a user a member of a user group. Return True, or False where the user already was one (409)."""

        def is_in() -> bool:
            return self.is_member(group_id, user_id, organization_id=organization_id)

        call = user_calls.change_member(group_id, user_id, "add")
        try:
            self.write(call, organization_id=organization_id, has_happened=is_in)
        except ConflictError:
            if is_in():
                return False
            raise
        return True

    def remove_group_member(self, group_id: str, user_id: str, *, organization_id: str) -> bool:
        """Take a user out of a user group. Return True, or False where the user was none (404).

        Raises NotFoundError where there is no such user.
        """

        def is_out() -> bool:
            return not self.is_member(group_id, user_id, organization_id=organization_id)

        call = user_calls.change_member(group_id, user_id, "remove")
        try:
            self.write(call, organization_id=organization_id, has_happened=is_out)
        except NotFoundError:
            if is_out():
                return False
            raise
        return True

    def _change(self, call: Call, user_id: str, organization_id: str, is_done: Callable[[Row], bool]) -> Row:
        answer, found = self._look_and_write(call, user_id, organization_id, is_done)
        return found[0] if answer is None else _as_user(answer)

    def _do(self, call: Call, user_id: str, organization_id: str, is_done: Callable[[Row], bool]) -> None:
        self._look_and_write(call, user_id, organization_id, is_done)

    def _look_and_write(
        self, call: Call, user_id: str, organization_id: str, is_done: Callable[[Row], bool]
    ) -> tuple[ApiResponse | None, list[Row]]:
        """Return the answer of a call; where it was lost, None and the user as it was read afterwards."""
        found: list[Row] = []

        def has_happened() -> bool:
            found[:] = [self.get_user(user_id, organization_id=organization_id)]
            return is_done(found[0])

        return self.write(call, organization_id=organization_id, has_happened=has_happened), found


def _as_user(answer: ApiResponse) -> Row:
    user = answer.decode()
    if not isinstance(user, dict) or not isinstance(user.get("_id") or user.get("id"), str):
        raise PageShapeError("expected a user with an id")
    return user
