"""Whether somebody whom the filters found is as they ask still: by the warehouse of now, and by JumpCloud itself.

The warehouse is up to two days old, and a look at one user costs a request or three; so it finds, and JumpCloud
confirms, before anybody is asked and again before each call. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from jumpcloud_elt.actions.models import Filters, FoundUsers, Look
from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.event_queries import events_body
from jumpcloud_elt.api.listings import iter_rows, read_until_whole, row_id
from jumpcloud_elt.api.providers import find_provider_id, read_provider_administrators
from jumpcloud_elt.api.user_state import SUSPENDED, state_of, status_of
from jumpcloud_elt.connections.credential import role_names
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import ADMINISTRATORS, ROLES, Row
from jumpcloud_elt.errors import RequestError, ResponseError, TransientError
from jumpcloud_elt.landing.action_log import ActionOutcome

USAGE_EVENTS = ("user_login_attempt", "admin_login_attempt", "sso_auth")
NO_LONGER = "no longer as the filters ask"


class Recheck:
    """Looks at the users of one organization with the eyes of `filters`; `found` is what the warehouse says of them.

    What is the same for everybody (groups, administrators) is read once, here: raises as the client does.
    """

    def __init__(
        self, client: JumpCloudClient, organization_id: str, filters: Filters, found: FoundUsers, settings: Settings
    ) -> None:
        self._hook, self._organization_id, self._settings = client, organization_id, settings
        self._filters, self._found = filters, found
        self._group_ids: set[str] = set()
        if filters.group:
            groups = read_until_whole(
                lambda: list(client.iter_groups(organization_id=organization_id)),
                f"groups of {organization_id}",
                client,
            )
            self._group_ids = {row_id(group) for group in groups if group.get("name") in filters.group}
        # Who is not known to be an administrator would pass for none; one whose role is not known, for `Unknown`.
        asked_for = {role.lower() for role in filters.role or ()}
        self._administrators = (
            list(_administrators(client, organization_id, must_be_whole="user" in asked_for)) if asked_for else []
        )
        unnamed = any(not role_names(row) for row in self._administrators)
        self._roles = _roles_by_id(client, organization_id, must_be_whole="unknown" in asked_for) if unnamed else {}

    def narrow(self, look: Look, user: Row) -> Look:
        """What there is to do to a user: nothing to one who is no longer so, or to whom it cannot be done."""
        if look.outcome == ActionOutcome.REFUSED:
            return _leave_out(look.message)
        reason = next(self._reasons(user), None) if look.outcome == ActionOutcome.ASKED else None
        return _leave_out(reason) if reason else look

    def _reasons(self, user: Row) -> Iterator[str]:
        """Why somebody is to be left out; what is asked of JumpCloud is asked last."""
        filters, found = self._filters, self._found
        if row_id(user) not in found.user_ids:
            yield f"{NO_LONGER}: {found.reason or 'the warehouse has changed'}"
        if filters.status and status_of(user) not in filters.status:
            yield f"{NO_LONGER}: the status is {status_of(user)}"
        lifecycle = "past" if state_of(user) == SUSPENDED else "current"
        if filters.lifecycle and lifecycle not in filters.lifecycle:
            yield f"{NO_LONGER}: the lifecycle is {lifecycle}"
        if filters.department and (user.get("department") or "") not in filters.department:
            yield f"{NO_LONGER}: the department is another"
        roles = self._roles_of(user)
        if filters.role and roles.isdisjoint(role.lower() for role in filters.role):
            yield f"{NO_LONGER}: the role is {', '.join(sorted(roles))}"
        if filters.group and self._group_ids.isdisjoint(
            self._hook.groups_of(row_id(user), organization_id=self._organization_id)
        ):
            yield f"{NO_LONGER}: is in no such group"
        if filters.unused_days is not None and found.usage_until is not None:
            attempts = self._attempts_since(user, found.usage_until)
            if attempts:
                yield f"has tried to log in {attempts} times since {found.usage_until:%Y-%m-%d %H:%M} UTC"

    def _roles_of(self, user: Row) -> set[str]:
        """As the warehouse defines them, in lower case: from the user's own row and from the administrator's."""
        email = str(user.get("email") or "").lower()
        rows = [row for row in self._administrators if email and str(row.get("email") or "").lower() == email]
        if isinstance(user.get("admin"), dict):
            rows.append(user["admin"])
        if not rows:
            return {"user"}
        return {role.lower() for row in rows for role in role_names(row) or self._roles_by_id_of(row)} or {"unknown"}

    def _roles_by_id_of(self, row: Row) -> list[str]:
        several = row.get("roles")
        ids = [row.get("role"), *(several if isinstance(several, list) else [])]
        return [self._roles[one] for one in ids if isinstance(one, str) and one in self._roles]

    def _attempts_since(self, user: Row, since: datetime) -> int:
        """How often a user has tried to log in since usage was last read, as Directory Insights counts it now."""
        # As the user's row spells it, and in lower case, as events do.
        names = [
            (name, spelling)
            for name, text in (("id", row_id(user)), ("username", user.get("username")), ("email", user.get("email")))
            for spelling in dict.fromkeys((str(text or ""), str(text or "").lower()))
            if spelling
        ]
        actor = [{f"{role}.{name}": text} for role in ("initiated_by", "resource") for name, text in names]
        body: dict[str, Any] = {
            **events_body(self._settings.usage_services, since.replace(tzinfo=UTC), datetime.now(UTC)),
            "search_term": {"and": [{"event_type": list(USAGE_EVENTS)}, {"or": actor}]},
        }
        return self._hook.count_matching_events(body, organization_id=self._organization_id)


def _leave_out(reason: str) -> Look:
    """Of somebody whom the filters do not mean nothing is left to be done."""
    return Look(ActionOutcome.SKIPPED, reason, is_unfinished=False)


def _administrators(client: JumpCloudClient, organization_id: str, *, must_be_whole: bool) -> Iterator[Row]:
    """Everybody who administers the organization, a provider's administrators too.

    Those of a provider who may not be read are left out unless the list `must_be_whole`.
    """
    what = f"administrators of {organization_id}"
    yield from read_until_whole(lambda: list(iter_rows(client, ADMINISTRATORS, organization_id)), what, client)
    try:
        provider_id = find_provider_id(client)
        if provider_id is not None:
            yield from read_provider_administrators(client, provider_id, organization_id)
    except (RequestError, ResponseError) as error:
        if must_be_whole or isinstance(error, TransientError):
            raise


def _roles_by_id(client: JumpCloudClient, organization_id: str, *, must_be_whole: bool) -> dict[str, str]:
    """The names of roles that an administrator's row does not name.

    Of a key that may not read them, none, unless the list `must_be_whole`.
    """
    try:
        return {row_id(row): str(row["name"]) for row in iter_rows(client, ROLES, organization_id) if row.get("name")}
    except (RequestError, ResponseError) as error:
        if must_be_whole or isinstance(error, TransientError):
            raise
        return {}
