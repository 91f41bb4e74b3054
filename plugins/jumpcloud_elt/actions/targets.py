"""Who is meant: user ids, user names, e-mails and group names, looked up in one organization through the API.

Exactly one user must match, or nobody is acted on. Reads only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.listings import read_until_whole, row_id
from jumpcloud_elt.connections.organizations import read_organizations
from jumpcloud_elt.core.account import ORGANIZATION_ID
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import NotFoundError, OrganizationHeaderError, PermissionDeniedError

# Ids of users and groups look like those of organizations.
OBJECT_ID = ORGANIZATION_ID


class People:
    """The users of one organization, as the API has them now."""

    def __init__(self, client: JumpCloudClient, organization_id: str) -> None:
        self._hook = client
        self.organization_id = organization_id
        self._everybody: list[Row] | None = None

    def by_id(self, user_id: str) -> Row | None:
        """The user with this id, None where the organization has none."""
        user = self._hook.find_user(user_id.lower(), organization_id=self.organization_id)
        return user if user is not None and self._is_here(user) else None

    def by_username(self, username: str) -> list[Row]:
        """The users with exactly this user name: one, or none."""
        return [user for user in self._filtered("username", username) if user.get("username") == username]

    def by_email(self, email: str) -> list[Row]:
        """The users with this e-mail, as it is spelt or in lower case, as nearly all are."""
        for spelling in dict.fromkeys((email, email.lower())):
            found = [user for user in self._filtered("email", spelling) if _is_email_of(email, user)]
            if found:
                return found
        return []

    def matching(self, name: str) -> list[Row]:
        """The users whom a user id, user name (exactly) or e-mail (in any case) names."""
        if "@" in name:
            # Filters are case-sensitive, e-mails are not.
            return self.by_email(name) or [user for user in self.everybody() if _is_email_of(name, user)]
        user = self.by_id(name) if OBJECT_ID.fullmatch(name) else None
        return self.by_username(name) if user is None else [user]

    def reports_of(self, user_id: str) -> list[Row]:
        """The users whose manager this user is."""
        return [user for user in self._filtered("manager", user_id) if user.get("manager") == user_id]

    def everybody(self) -> list[Row]:
        """All users; read once."""
        if self._everybody is None:
            what = f"users of organization {self.organization_id}"
            users = read_until_whole(
                lambda: list(self._hook.iter_users(organization_id=self.organization_id)), what, self._hook
            )
            self._everybody = [user for user in users if self._is_here(user)]
        return self._everybody

    def _filtered(self, field: str, value: str) -> list[Row]:
        users = self._hook.iter_users(organization_id=self.organization_id, filter=f"{field}:$eq:{value}")
        return [user for user in users if self._is_here(user)]

    def _is_here(self, user: Row) -> bool:
        """A key of one organization may be answered about its own, whatever was asked for."""
        return user.get("organization") in (None, "", self.organization_id)


def refuse_unseen_organization(client: JumpCloudClient, organization_id: str, problems: list[str]) -> None:
    """Add to `problems` where the key does not see the organization."""
    try:
        seen = read_organizations(client)
    except (PermissionDeniedError, OrganizationHeaderError, NotFoundError):
        # A key that may not list organizations: what it may do to this one, the users' route will say.
        return
    if organization_id not in seen:
        allowed = ", ".join(f"{one} ({row.get('displayName') or 'no name'})" for one, row in list(seen.items())[:20])
        problems.append(
            f"organization_id: {organization_id!r} given, which the key of connection {client.account.connection_id!r} "
            f"does not see; allowed: {allowed or 'none: it sees no organization'}"
        )


def match(people: People, names: Sequence[str], threads: int) -> dict[str, list[Row]]:
    """The users whom each of `names` names: one, none, or several."""
    with ThreadPoolExecutor(max(1, min(threads, len(names)))) as pool:
        return dict(zip(names, pool.map(people.matching, names), strict=True))


def single(people: People, matches: Mapping[str, Sequence[Row]], what: str, problems: list[str]) -> list[Row]:
    """The users who match, each once, in that order; adds to `problems` every name that is not exactly one user's."""
    found: dict[str, Row] = {}
    for name, users in matches.items():
        if len(users) == 1:
            found.setdefault(row_id(users[0]), users[0])
        elif users:
            ids = ", ".join(sorted(row_id(user) for user in users))
            problems.append(f"{what}: {name!r} given, which {len(users)} users have; allowed: one of their ids: {ids}")
        else:
            problems.append(
                f"{what}: {name!r} given, whom organization {people.organization_id} does not have; allowed: a user "
                "id, user name or e-mail of one of its users"
            )
    return list(found.values())


def resolve_group(client: JumpCloudClient, organization_id: str, name: str, problems: list[str]) -> Row | None:
    """The one user group with this id or, exactly, this name."""
    groups = list(client.iter_groups(organization_id=organization_id))
    found = [group for group in groups if name.lower() == group.get("id")] or [
        group for group in groups if name == group.get("name")
    ]
    if len(found) == 1:
        return found[0]
    if found:
        ids = ", ".join(sorted(row_id(group) for group in found))
        problems.append(f"group: {name!r} given, as {len(found)} groups are called; allowed: one of their ids: {ids}")
    else:
        names = ", ".join(sorted(repr(group.get("name")) for group in groups)[:30])
        problems.append(f"group: {name!r} given; allowed: the id or name of a user group: {names or 'there is none'}")
    return None


def _is_email_of(name: str, user: Row) -> bool:
    return str(user.get("email") or "").lower() == name.lower()
