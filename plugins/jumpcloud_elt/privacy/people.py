"""Who one person of an organization is: every id, e-mail and user name that landing has of them.

An account is a user or an administrator, known from snapshots, from checkpoints of pruned ones, and from events. A
person is one user and the administrators who share an e-mail with it. Reads landing; changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pyarrow.compute as pc

from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.streams import ADMINISTRATORS, SYSTEMUSERS
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.landing.layout import CHECKPOINTS, EVENTS, snapshot_path
from jumpcloud_elt.landing.manifests import HELD
from jumpcloud_elt.landing.snapshots import iter_snapshots

# As events call what is a user or an administrator.
_ACCOUNT_TYPES = ("user", "systemuser", "admin", "administrator")
_CHANGES = r'"field"\s*:\s*"(?:email|username|alternateEmail|managedAppleId)'


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """One person of one organization, under every name that landing knows.

    An e-mail or user name that another account ever had too is in `shared`, and in neither of `emails` and
    `usernames`: it is the person's only in a row that is the person's for another reason.
    """

    organization_id: str
    user_ids: tuple[str, ...] = ()
    administrator_ids: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    usernames: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all accounts."""
        return (*self.user_ids, *self.administrator_ids)

    def is_called(self, target: str) -> bool:
        """Whether `target` is an id, an e-mail (in any case) or a user name of this person's own."""
        return target in self.ids or target in self.usernames or target.lower() in map(str.lower, self.emails)


@dataclass
class _Account:
    """Every name of one account. `aliases` are addresses that say nothing about who it is: alternate ones."""

    account_id: str
    is_user: bool
    emails: set[str] = field(default_factory=set)
    usernames: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)

    @property
    def email_keys(self) -> set[str]:
        return {email.lower() for email in self.emails}

    @property
    def names(self) -> set[str]:
        """What another account may not have too for it to be this one's own, e-mails in lower case."""
        return self.email_keys | self.usernames | {alias.lower() for alias in self.aliases}


class _Payload(msgspec.Struct):
    """The fields of a user or administrator that name it, whatever they hold."""

    email: Any = None
    username: Any = None
    alternateEmail: Any = None
    recoveryEmail: Any = None
    managedAppleId: Any = None


_decode_payload = msgspec.json.Decoder(_Payload).decode
_decode = msgspec.json.Decoder(float_hook=float).decode


def identify_person(landing: Place, organization_id: str, target: str) -> Person:
    """The person of `organization_id` whom `target` (user id, user name or e-mail) names, who is gone from JumpCloud.

    Raises ConfigurationError, naming field, value and what is allowed, where nothing of the organization has
    landed, nobody or more than one person matches, or the person is still there.
    """
    if not landing.find_files(f"*/organization_id={organization_id}/**/*.parquet"):
        raise ConfigurationError(
            f"organization_id: {organization_id!r} given; allowed: an organization of which something has landed"
        )
    accounts = _read_accounts(landing, organization_id)
    matches = [one for one in accounts.values() if _matches(one, target)]
    users = [one.account_id for one in matches if one.is_user]
    if len(users) > 1:
        raise ConfigurationError(
            f"target: {target!r} given; {len(users)} users of organization {organization_id} have had that name; "
            f"allowed: one of their ids: {', '.join(sorted(users))}"
        )
    person = (
        _as_person(organization_id, matches, accounts)
        if matches
        else _person_without_account(landing, organization_id, target)
    )
    if person is None:
        raise ConfigurationError(
            f"target: {target!r} given; nobody in organization {organization_id} has ever had that id, user name or "
            "e-mail; allowed: a user id, user name or e-mail that has landed"
        )
    refuse_if_present(landing, person, target)
    return person


def refuse_if_present(landing: Place, person: Person, target: str) -> None:
    """Raise ConfigurationError where the latest accepted snapshot, or a younger one, still has the person."""
    for snapshot_at, metadata in iter_snapshots(landing, person.organization_id):
        for stream, ids in ((SYSTEMUSERS, person.user_ids), (ADMINISTRATORS, person.administrator_ids)):
            path = snapshot_path(landing, stream.name, person.organization_id, snapshot_at)
            [key] = stream.keys
            if path.exists() and not set(ids).isdisjoint(_read(path, [key])[key].to_pylist()):
                raise ConfigurationError(
                    f"target: {target!r} given, who is still in the snapshot of {snapshot_at} ({stream.name}) and "
                    "would come back with the next sync; allowed: somebody who is no longer there: delete the "
                    "account at JumpCloud first, then run jumpcloud_directory"
                )
        if metadata.get("decision") != HELD:
            return


def landed_files(landing: Place, stream: str, organization_id: str) -> Iterator[Place]:
    """An organization's files of one stream; of files that are hard links of each other, one."""
    seen = set()
    for path in (landing / stream / f"organization_id={organization_id}").find_files("**/*.parquet"):
        identity = path.identity()
        if identity not in seen:
            seen.add(identity)
            yield path


def _matches(account: _Account, target: str) -> bool:
    return target in (account.account_id, *account.usernames) or target.lower() in account.email_keys


def _as_person(organization_id: str, matches: Sequence[_Account], accounts: dict[str, _Account]) -> Person:
    """The accounts that match, and those that an e-mail makes the same person's."""
    own = list(matches)
    grown = True
    while grown:
        emails = set().union(*(one.email_keys for one in own))
        holders = [one for one in accounts.values() if not one.email_keys.isdisjoint(emails)]
        users = [one for one in holders if one.is_user]
        if not any(one.is_user for one in own) and len(users) == 1:
            more = users
        else:
            # An e-mail that another user has had too makes nobody the same person.
            others = set().union(*(one.email_keys for one in users if one not in own))
            more = [one for one in holders if not one.is_user and not one.email_keys.isdisjoint(emails - others)]
        more = [one for one in more if one not in own]
        own += more
        grown = bool(more)
    foreign = set().union(*(one.names for one in accounts.values() if one not in own))
    addresses = set().union(*(one.emails | one.aliases for one in own))
    usernames = set().union(*(one.usernames for one in own))
    return Person(
        organization_id=organization_id,
        user_ids=tuple(sorted(one.account_id for one in own if one.is_user)),
        administrator_ids=tuple(sorted(one.account_id for one in own if not one.is_user)),
        emails=tuple(sorted(one for one in addresses if one.lower() not in foreign)),
        usernames=tuple(sorted(usernames - foreign)),
        shared=tuple(
            sorted({one for one in addresses if one.lower() in foreign} | (usernames & foreign)),
        ),
    )


def _person_without_account(landing: Place, organization_id: str, target: str) -> Person | None:
    """Somebody whom only events name, and never by id."""
    emails, usernames = set(), set()
    for actor in _iter_actors(landing, organization_id):
        if target and (actor["username"] == target or (actor["email"] or "").lower() == target.lower()):
            emails.add(actor["email"])
            usernames.add(actor["username"])
    if not emails and not usernames:
        return None
    return Person(
        organization_id=organization_id,
        emails=tuple(sorted(filter(None, emails))),
        usernames=tuple(sorted(filter(None, usernames))),
    )


def _read_accounts(landing: Place, organization_id: str) -> dict[str, _Account]:
    accounts: dict[str, _Account] = {}

    def account(account_id: str, *, is_user: bool) -> _Account:
        return accounts.setdefault(account_id, _Account(account_id, is_user))

    for stream in (SYSTEMUSERS, ADMINISTRATORS):
        [key] = stream.keys
        for account_id, payload in _iter_payloads(landing, stream.name, key, organization_id):
            known = account(account_id, is_user=stream is SYSTEMUSERS)
            recovery = payload.recoveryEmail
            known.emails |= _texts(payload.email)
            known.usernames |= _texts(payload.username)
            known.aliases |= _texts(payload.alternateEmail, payload.managedAppleId)
            known.aliases |= _texts(recovery.get("address") if isinstance(recovery, dict) else None)
    # Before user_history, which does not tell users from administrators.
    for name, key in (("users", "user_id"), ("administrators", "administrator_id"), ("user_history", "user_id")):
        for path in (landing / CHECKPOINTS).find_files(f"*/{name}.parquet"):
            for row in _read(path).to_pylist():
                if row["organization_id"] == organization_id:
                    known = account(row[key], is_user=name != "administrators")
                    known.emails |= _texts(row["email"])
                    known.usernames |= _texts(row.get("username"))
    for actor in _iter_actors(landing, organization_id):
        if actor["id"] and (actor["username"] or actor["email"] or actor["type"] in _ACCOUNT_TYPES):
            known = account(actor["id"], is_user=not (actor["type"] or "").startswith("admin"))
            known.emails |= _texts(actor["email"])
            known.usernames |= _texts(actor["username"])
    for account_id, field_name, value in _iter_renames(landing, organization_id):
        if account_id in accounts:
            known = accounts[account_id]
            names = {"email": known.emails, "username": known.usernames}.get(field_name, known.aliases)
            names |= _texts(value)
    return accounts


def _iter_payloads(landing: Place, stream: str, key: str, organization_id: str) -> Iterator[tuple[str, _Payload]]:
    # From one snapshot to the next nearly all rows are the same.
    seen: set[int] = set()
    for path in landed_files(landing, stream, organization_id):
        table = _read(path, [key, "payload"])
        for account_id, text in zip(table[key].to_pylist(), table["payload"].to_pylist(), strict=True):
            digest = hash((account_id, text))
            if digest not in seen:
                seen.add(digest)
                yield account_id, _decode_payload(text)


def _iter_actors(landing: Place, organization_id: str) -> Iterator[dict[str, str | None]]:
    """Who did something or had it done, as the events name them: id, type, username, email."""
    fields = ("id", "type", "username", "email")
    for path in landed_files(landing, EVENTS, organization_id):
        for role in ("initiated_by", "resource"):
            columns = [f"{role}_{name}" for name in fields]
            distinct = _read(path, columns).group_by(columns).aggregate([])
            for row in distinct.to_pylist():
                yield {name: row[f"{role}_{name}"] for name in fields}


def _iter_renames(landing: Place, organization_id: str) -> Iterator[tuple[str, str, Any]]:
    """Names that an account had before or after a change, as events tell: account id, field, name."""
    for path in landed_files(landing, EVENTS, organization_id):
        table = _read(path, ["resource_id", "payload"])
        table = table.filter(pc.match_substring_regex(table["payload"], _CHANGES))
        for account_id, text in zip(table["resource_id"].to_pylist(), table["payload"].to_pylist(), strict=True):
            changes = _decode(text).get("changes")
            for change in changes if isinstance(changes, list) else ():
                if account_id and isinstance(change, dict) and isinstance(change.get("field"), str):
                    for value in (change.get("from"), change.get("to")):
                        if change["field"] in ("email", "username", "alternateEmail", "managedAppleId"):
                            yield account_id, change["field"], value


def _texts(*values: Any) -> set[str]:
    return {value for value in values if isinstance(value, str) and value}


def _read(path: Place, columns: list[str] | None = None) -> Any:
    return path.open_parquet().read(columns=columns)
