"""What the warehouse's tables must hold, worked out in plain Python from raw API payloads.

An independent reading of the written definitions: tests compare the built warehouse with it, row for row.
It shares no code, no SQL and no engine with the package, so that a misreading has to happen twice to go
unnoticed. It reads no files, and it says nothing about `sync_log`, `capabilities`, `user_actions`, or about
the columns `sync_message` and `usage_state_reason`; about `sync_status`, and about what was tried and has not landed,
only where it is given the attempts.

`expected` folds each organization's snapshots in time order (who was seen, who is gone, histories), reads the
landed units into events, resolves each usage event's actor against the accounts of the last snapshot, and
returns rows as dictionaries, sorted by key.
"""

# Where the definitions leave room, this is how they are read here:
#
#  1. Lower case is Unicode's simple mapping, code point by code point (no final sigma; U+0130 gives "i").
#  2. Several present users with one e-mail or username: the greatest id stands, as it does among the deleted.
#  3. Several administrators with one e-mail: each is an account while no present user has the e-mail; the
#     e-mail leads to the one that stands, and only that one gives a present user roles.
#  4. "Spelt as the administrator list spells them": as the account's own administrator does. Within one
#     source `roleName` comes before `roleNames`, and the first spelling stands.
#  5. An administrator's first_seen_at, last_seen_at and deleted_at are those of the administrator, also when
#     it was for a time (or until now) a present user's and therefore no account of its own.
#  6. Administrators without user have null state, department, job_title and manager_id.
#  7. `groups` has one name per group, sorted by code point: two groups of one name give it twice. Groups
#     without name, or that the group list does not have, are left out of `groups`; access still goes
#     through the latter.
#  8. A deleted account that the latest memberships or bindings still name has neither groups nor access.
#     Bindings of an application that is not listed count for nothing.
#  9. `via_group_ids` is sorted by code point, and the empty list for `direct` and `none`.
# 10. Histories are as of each snapshot: a member that no user list names yet has no access version yet. The
#     closed versions of an administrator that ceased to be an account stay in `user_history`.
# 11. `deleted` is a version with empty `groups`; every other tracked column is the last known one.
# 12. `access_history` has no versions of `none`: that is a statement of usage, not of a snapshot.
# 13. Only `sso_auth` gives event-only applications. The latest is the greatest event_at, then event_id; its
#     name is `display_label`, else `display_name`, else `name`, its catalog_name `display_name`, else `name`.
# 14. `is_active` is null where the listing says nothing; deleted applications keep the last one known.
# 15. Booleans are JSON booleans only; every other value says nothing. The outcome of an event may be the text `true`
#     or `false` as well, in this case only.
# 16. What is no text where text is expected is kept as JSON text, compactly. White space is text.
# 17. The events view has an event once per organization, date and id, and usage counts it as the view has it:
#     where one id has two dates it counts on both.
# 18. Strays are cut before duplicates: a stray copy never hides one that is inside its interval. Among copies
#     of one extraction time, the unit with the later start, then end stands; within a unit the copy dated later,
#     then a success before a failure or step before neither, then the greater event type, then initiated_by, resource
#     (id, username, email) and application (id, name, display_label, sso_type), field by field; what is missing is
#     less than what is empty. Never the order in which they came.
# 19. Readings of one interval are one unit: of an event id all copies of the latest reading that has it. A reading
#     makes the unit whole if it was whole itself, lands every id that had landed and, of a unit that was not, has any
#     id at all; the unit stays so, and its services are those of such readings. Events at an interval's end do not
#     land. Events without id or without a readable timestamp are ignored.
# 20. `usage_coverage.events` counts the distinct events dated inside the unit. A unit with strays alone is
#     empty: it neither verifies others nor makes an organization `available`.
# 21. Where no event was ever seen every unit is `unverified`. A unit that lacks a service keeps its outcome, and covers
#     nothing.
# 22. `unavailable` stands whatever landed before. Otherwise what landed decides: an organization said to be
#     never read that has events is `available`.
# 23. Every organization that a snapshot, a unit, a finding or a connection names has a row in
#     `organizations`; without snapshot its name is its id and directory_synced_at is null.
# 24. User portal and SSO events with an id keep that id, even that of an administrator who is a present
#     user's. Several present users with one username in lower case lead to the one deleted user who has it so, if any.
# 25. An admin portal event leads, by the e-mail of the administrator with its id, to whoever has that e-mail:
#     if several administrators share it, to the one that stands. An administrator without e-mail is its id. The
#     administrator with the id is asked for its e-mail whenever it was created: an id stands as it is.
# 26. A deleted user's username and e-mail are the last known ones; earlier ones lead to nobody.
# 27. `users_active_30d` counts deleted accounts too; ids that no account has do not count.
# 28. Covered time is a union: units that overlap or touch make one stretch. A whole second is one million microseconds
#     of a day's covered time, wherever they lie.
# 29. `access_since` and `idle_days` of access `none` are null.
# 30. `group_members` has members of groups that the group list does not have as well: access goes through them.
# 31. What an attempt was to read and nothing landed of is told day by day: a unit spans no day. Catching up that failed
#     names no interval. An interval of which anything has landed has no row of what failed.

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

Row = dict[str, Any]
Payload = dict[str, Any]
AccessKey = tuple[str, str]  # application id, user id

TABLES = (
    "organizations",
    "users",
    "applications",
    "application_users",
    "groups",
    "group_members",
    "application_groups",
    "user_roles",
    "usage_daily",
    "usage_by_day",
    "user_history",
    "access_history",
    "events",
    "usage_coverage",
    "usage_coverage_daily",
)
SOURCES = {"user_login_attempt": "user_portal", "admin_login_attempt": "admin_portal", "sso_auth": "sso"}
SOURCE_RANK = {"sso": 2, "user_portal": 1, "admin_portal": 0}  # of several at one instant, the greatest
TRACKED_OF_USERS = (
    "status",
    "roles",
    "is_admin",
    "is_mfa_enabled",
    "email",
    "username",
    "display_name",
    "department",
    "job_title",
    "manager_id",
    "groups",
)
TRACKED_OF_ACCESS = ("access", "via_group_ids")
NAMES_OF_ACTORS = ("id", "username", "email")
NAMES_OF_APPLICATIONS = ("id", "name", "display_label", "sso_type")
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
TIMESTAMP = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):?(\d{2}))?", re.ASCII
)


@dataclass(frozen=True)
class Snapshot:
    """One complete, accepted directory snapshot of one organization; `snapshot_at` is naive UTC."""

    organization_id: str
    snapshot_at: datetime
    organization: Payload
    users: list[Payload]
    administrators: list[Payload] | None  # None: could not be read, so that they are as last known
    applications: list[Payload]
    usergroups: list[Payload] = field(default_factory=list)
    memberships: dict[str, list[str]] = field(default_factory=dict)  # group id -> user ids
    application_users: dict[str, list[str]] = field(default_factory=dict)  # application id -> user ids
    application_groups: dict[str, list[str]] = field(default_factory=dict)  # application id -> group ids


@dataclass(frozen=True)
class Unit:
    """One reading of a unit of events, as received for its bounds (both inclusive); times are naive UTC.

    `services` are those that JumpCloud was asked for. The interval of a reading that `began_before_retention` lies, in
    part, before what JumpCloud keeps. One that is not whole did not agree with the count.
    """

    organization_id: str
    interval_start: datetime
    interval_end: datetime
    extracted_at: datetime
    events: list[Payload]
    services: tuple[str, ...] = ("directory", "sso")
    began_before_retention: bool = False
    is_whole: bool = True


@dataclass(frozen=True)
class Insights:
    """What was last found out about an organization's events: `read`, `unavailable` or `never_read`."""

    organization_id: str
    state: str
    reason: str | None


@dataclass(frozen=True)
class Attempt:
    """How one run ended for an organization, when it was recorded at `at`; times are naive UTC.

    `side` is `directory`, with the outcomes ok, held and failed; or `usage`, with ok, failed, skipped, excluded, and
    the interval that the run was to land.
    """

    organization_id: str
    run_id: str
    at: datetime
    side: str
    outcome: str
    is_restricted: bool = False
    interval: tuple[datetime, datetime] | None = None


def expected(
    snapshots: list[Snapshot],
    units: list[Unit],
    insights: list[Insights],
    connection_ids: dict[str, str],
    attempts: list[Attempt] | None = None,
) -> dict[str, list[Row]]:
    """Return the rows of every table in `TABLES`, for all organizations, sorted by key.

    `connection_ids` maps organization ids to connection ids. Lists are Python lists, times naive UTC
    datetimes, dates `date`.
    """
    named: list[Snapshot | Unit | Insights] = [*snapshots, *units, *insights]
    organization_ids = sorted({item.organization_id for item in named} | set(connection_ids))
    tables: dict[str, list[Row]] = {table: [] for table in TABLES}
    for organization_id in organization_ids:
        own = _tables_of(
            organization_id,
            [snapshot for snapshot in snapshots if snapshot.organization_id == organization_id],
            [unit for unit in units if unit.organization_id == organization_id],
            [finding for finding in insights if finding.organization_id == organization_id],
            connection_ids.get(organization_id),
        )
        if attempts is not None:
            own["organizations"][0]["sync_status"] = _sync_status(organization_id, attempts)
            own["usage_coverage"] = _with_unread(own["usage_coverage"], organization_id, attempts)
        for table, rows in own.items():
            tables[table] += ({"organization_id": organization_id, **row} for row in rows)
    return tables


def _tables_of(
    organization_id: str,
    snapshots: list[Snapshot],
    units: list[Unit],
    insights: list[Insights],
    connection_id: str | None,
) -> dict[str, list[Row]]:
    """Build every table of one organization; the rows come without `organization_id`."""
    directory = Directory()
    for snapshot in sorted(snapshots, key=lambda item: item.snapshot_at):
        directory.read(snapshot)
    landed = _landed_units(units)
    coverage = _coverage(landed, insights)
    events = _events(landed)
    uses = _resolved(events, Actors(directory))
    organization = {
        "organization_name": text(directory.organization.get("displayName")) or organization_id,
        "connection_id": connection_id,
        "usage_state": coverage.state,
        "usage_from": coverage.starts_at,
        "usage_until": coverage.ends_at,
        "known_days": coverage.known_days,
        "directory_first_synced_at": directory.first_synced_at,
        "directory_synced_at": directory.synced_at,
    }
    return {
        "organizations": [organization],
        "users": _users(directory, uses, coverage),
        "applications": _applications(directory, events, uses, coverage),
        "application_users": _application_users(directory, events, uses, coverage),
        "groups": directory.groups,
        "group_members": directory.group_members,
        "application_groups": directory.application_groups,
        "user_roles": [
            {"user_id": user_id, "role": role}
            for user_id, account in sorted(directory.accounts.items())
            if account["status"] != "deleted"
            for role in account["roles"]
        ],
        "usage_daily": _usage_daily(uses),
        "usage_by_day": _usage_by_day(uses),
        "user_history": directory.user_history.rows(("user_id",)),
        "access_history": directory.access_history.rows(("application_id", "user_id")),
        "events": [_event_row(event) for event in events],
        "usage_coverage": _usage_coverage(landed),
        "usage_coverage_daily": coverage.days(),
    }


# Values


def text(value: Any) -> str | None:
    """Return text as received; empty and missing text is None."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def flag(value: Any) -> bool | None:
    """Return a JSON boolean; anything else says nothing."""
    return value if isinstance(value, bool) else None


def outcome(value: Any) -> bool | None:
    """Return a boolean, as JSON or as the text `true` or `false`; anything else is no outcome."""
    return {"true": True, "false": False}.get(value) if isinstance(value, str) else flag(value)


def member(payload: Payload, key: str) -> Payload:
    """Return the object under `key`, empty where there is none."""
    value = payload.get(key)
    return value if isinstance(value, dict) else {}


def lower(value: str) -> str:
    """Lower each code point on its own, as Unicode's simple mapping does."""
    return "".join("i" if character == "\u0130" else character.lower() for character in value)


def moment(value: Any) -> datetime | None:
    """Read a timestamp with 0 to 9 fraction digits as naive UTC; what is finer than microseconds is cut."""
    match = TIMESTAMP.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    day, clock, fraction, sign, hours, minutes = match.groups()
    try:
        whole = datetime.fromisoformat(f"{day}T{clock}")
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        local = whole + int(((fraction or "") + "000000")[:6]) * MICROSECOND
        return local + offset if sign == "-" else local - offset
    except (ValueError, OverflowError):
        return None


def identity(payload: Payload) -> str | None:
    """Return a payload's id, by whichever of its two names."""
    return text(payload.get("_id")) or text(payload.get("id"))


def by_id(payloads: Iterable[Payload]) -> dict[str, Payload]:
    """Key payloads by id; of several with one id the last stands."""
    keyed = ((identity(payload), payload) for payload in payloads if isinstance(payload, dict))
    return {key: payload for key, payload in keyed if key is not None}


def first_text(payload: Payload, *keys: str) -> str | None:
    """Return the first text there is under `keys`."""
    return next((value for key in keys if (value := text(payload.get(key))) is not None), None)


# Directory


@dataclass
class Seen:
    """One object of the directory: its last known payload, and when snapshots had it."""

    payload: Payload
    first_seen_at: datetime
    last_seen_at: datetime
    deleted_at: datetime | None = None


@dataclass(frozen=True)
class Access:
    """How one account reaches one listed application."""

    access: str
    via_group_ids: list[str]


def _see(known: dict[str, Seen], payloads: Iterable[Payload], at: datetime) -> None:
    """Bring `known` up to the snapshot of `at`: new, still there, back again, or gone."""
    present = by_id(payloads)
    for key, payload in present.items():
        first = known[key].first_seen_at if key in known else at
        known[key] = Seen(payload, first, at)
    for key, seen in known.items():
        if key not in present and seen.deleted_at is None:
            seen.deleted_at = at


def _standing(known: dict[str, Seen], name: Callable[[Payload], str | None]) -> dict[str, str]:
    """Map each name to the id that stands for it: present, then last seen, then the greatest id."""
    best: dict[str, tuple[bool, datetime, str]] = {}
    for key, seen in known.items():
        called = name(seen.payload)
        if called is not None:
            rank = (seen.deleted_at is None, seen.last_seen_at, key)
            best[called] = max(best.get(called, rank), rank)
    return {called: rank[2] for called, rank in best.items()}


def _email(payload: Payload) -> str | None:
    """Return the e-mail that accounts are matched by."""
    value = text(payload.get("email"))
    return None if value is None else lower(value)


def _username(payload: Payload) -> str | None:
    """Return the username, as it is."""
    return text(payload.get("username"))


def _present(known: dict[str, Seen]) -> dict[str, Seen]:
    """Return those that the last snapshot has."""
    return {key: seen for key, seen in known.items() if seen.deleted_at is None}


def _removed(known: dict[str, Seen]) -> dict[str, Seen]:
    """Return those that the last snapshot does not have."""
    return {key: seen for key, seen in known.items() if seen.deleted_at is not None}


def _role_names(payload: Payload) -> list[str]:
    """Return the role names of an administrator or an `admin` object, as spelt there."""
    several = payload.get("roleNames")
    values = [payload.get("roleName"), *(several if isinstance(several, list) else [])]
    return [value for value in map(text, values) if value is not None]


def _roles(administrator: Payload | None, admin_object: Payload | None) -> list[str]:
    """Return an account's roles: the administrator's spelling first, then the user's."""
    if administrator is None and admin_object is None:
        return ["User"]
    spelt: dict[str, str] = {}
    for name in [*_role_names(administrator or {}), *_role_names(admin_object or {})]:
        spelt.setdefault(lower(name), name)
    return sorted(spelt.values()) or ["Unknown"]


def _user_status(payload: Payload) -> str:
    """Return a present user's status: the first that holds."""
    state = text(payload.get("state"))
    rules = (
        ("suspended", state == "SUSPENDED" or flag(payload.get("suspended")) is True),
        ("staged", state == "STAGED"),
        ("locked", flag(payload.get("account_locked")) is True),
        ("password_expired", flag(payload.get("password_expired")) is True),
        ("password_pending", flag(payload.get("activated")) is False),
    )
    return next((status for status, holds in rules if holds), "active")


def _admin_status(payload: Payload) -> str:
    """Return a present administrator's status."""
    return "suspended" if flag(payload.get("suspended")) is True else "active"


def _display_name(payload: Payload, username: str | None) -> str | None:
    """Return the name to show for an account."""
    parts = [text(payload.get("firstname")), text(payload.get("lastname"))]
    full = " ".join(part for part in parts if part is not None)
    return text(payload.get("displayname")) or full or username or text(payload.get("email"))


def _is_mfa_enabled(payload: Payload) -> bool:
    """Say whether a user has a second factor."""
    return (
        flag(payload.get("totp_enabled")) is True
        or flag(member(payload, "mfa").get("configured")) is True
        or member(payload, "mfaEnrollment").get("overallStatus") == "ENROLLED"
    )


def _common_columns(seen: Seen, status: str, username: str | None) -> Row:
    """Return what users and administrators have alike."""
    current = "deleted" if seen.deleted_at is not None else status
    return {
        "email": text(seen.payload.get("email")),
        "username": username,
        "first_name": text(seen.payload.get("firstname")),
        "last_name": text(seen.payload.get("lastname")),
        "display_name": _display_name(seen.payload, username),
        "created_at": moment(seen.payload.get("created")),
        "status": current,
        "lifecycle": "past" if current in ("deleted", "suspended") else "current",
        "first_seen_at": seen.first_seen_at,
        "last_seen_at": seen.last_seen_at,
        "deleted_at": seen.deleted_at,
    }


def _user_account(seen: Seen, roles: list[str], is_admin: bool, groups: list[str]) -> Row:
    """Return the directory columns of a user's account."""
    payload = seen.payload
    return {
        **_common_columns(seen, _user_status(payload), _username(payload)),
        "account_type": "user",
        "department": text(payload.get("department")),
        "job_title": text(payload.get("jobTitle")),
        "manager_id": text(payload.get("manager")),
        "employee_id": text(payload.get("employeeIdentifier")),
        "cost_center": text(payload.get("costCenter")),
        "company": text(payload.get("company")),
        "location": text(payload.get("location")),
        "state": text(payload.get("state")),
        "roles": roles,
        "is_admin": is_admin,
        "is_mfa_enabled": _is_mfa_enabled(payload),
        "groups": groups,
    }


def _admin_account(seen: Seen) -> Row:
    """Return the directory columns of an administrator without user."""
    return {
        **_common_columns(seen, _admin_status(seen.payload), None),
        "account_type": "admin",
        "department": None,
        "job_title": None,
        "manager_id": None,
        "employee_id": None,
        "cost_center": None,
        "company": None,
        "location": None,
        "state": None,
        "roles": _roles(seen.payload, None),
        "is_admin": True,
        "is_mfa_enabled": flag(seen.payload.get("totpEnrolled")) is True,
        "groups": [],
    }


class History:
    """Versions of tracked columns: from the snapshot that shows one to the first that does not."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, ...], tuple[Row, datetime]] = {}
        self._closed: list[tuple[tuple[str, ...], Row, datetime, datetime | None]] = []

    def record(self, at: datetime, current: dict[tuple[str, ...], Row]) -> None:
        """Close the versions that the snapshot of `at` no longer shows, open those that it does."""
        for key, (tracked, since) in list(self._open.items()):
            if current.get(key) != tracked:
                self._closed.append((key, tracked, since, at))
                del self._open[key]
        for key, tracked in current.items():
            self._open.setdefault(key, (tracked, at))

    def rows(self, key_columns: tuple[str, ...]) -> list[Row]:
        """Return all versions, the open ones without end."""
        still_open = [(key, tracked, since, None) for key, (tracked, since) in self._open.items()]
        versions = sorted([*self._closed, *still_open], key=lambda version: (version[0], version[2]))
        return [
            {**dict(zip(key_columns, key, strict=True)), **tracked, "valid_from": since, "valid_to": until}
            for key, tracked, since, until in versions
        ]


class Directory:
    """One organization's directory after the snapshots read so far."""

    def __init__(self) -> None:
        self.organization: Payload = {}
        self.first_synced_at: datetime | None = None
        self.synced_at: datetime | None = None
        self.users: dict[str, Seen] = {}
        self.administrators: dict[str, Seen] = {}
        self.applications: dict[str, Seen] = {}
        self.accounts: dict[str, Row] = {}
        self.groups: list[Row] = []
        self.group_members: list[Row] = []
        self.application_groups: list[Row] = []
        self.access: dict[AccessKey, Access] = {}
        # Since which snapshot access is unbroken; None where that is the first one.
        self.access_since: dict[AccessKey, datetime | None] = {}
        self.user_history = History()
        self.access_history = History()
        self._last_roles: dict[str, tuple[list[str], bool]] = {}

    def read(self, snapshot: Snapshot) -> None:
        """Take in the next snapshot, in time order."""
        at = snapshot.snapshot_at
        is_first = self.synced_at is None
        self.organization = snapshot.organization
        self.first_synced_at = self.first_synced_at or at
        self.synced_at = at
        _see(self.users, snapshot.users, at)
        if snapshot.administrators is not None:
            _see(self.administrators, snapshot.administrators, at)
        _see(self.applications, snapshot.applications, at)
        self._learn_roles()
        self.accounts = {**self._user_accounts(_group_names(snapshot)), **self._admin_accounts()}
        self.groups = [
            {"group_id": key, "name": text(group.get("name"))}
            for key, group in sorted(by_id(snapshot.usergroups).items())
        ]
        self.group_members = [
            {"group_id": group_id, "user_id": user_id}
            for group_id, user_ids in sorted(snapshot.memberships.items())
            for user_id in sorted(set(user_ids) & _present(self.users).keys())
        ]
        self.application_groups = [
            {"application_id": application_id, "group_id": group_id}
            for application_id in sorted(_present(self.applications))
            for group_id in sorted(
                set(snapshot.application_groups.get(application_id, ())) & by_id(snapshot.usergroups).keys()
            )
        ]
        self.access = self._access_of(snapshot)
        began = None if is_first else at
        self.access_since = {key: self.access_since.get(key, began) for key in self.access}
        self.user_history.record(
            at,
            {(key,): {name: row[name] for name in TRACKED_OF_USERS} for key, row in self.accounts.items()},
        )
        self.access_history.record(
            at,
            {key: {name: getattr(way, name) for name in TRACKED_OF_ACCESS} for key, way in self.access.items()},
        )

    def _learn_roles(self) -> None:
        """Note the roles of present users; those of users who are gone stay as they were."""
        user_of = _standing(_present(self.users), _email)
        admin_of = {
            user_of[email]: self.administrators[key].payload
            for email, key in _standing(_present(self.administrators), _email).items()
            if email in user_of
        }
        for key, seen in _present(self.users).items():
            value = seen.payload.get("admin")
            admin_object = value if isinstance(value, dict) else None
            administrator = admin_of.get(key)
            is_admin = administrator is not None or admin_object is not None
            self._last_roles[key] = (_roles(administrator, admin_object), is_admin)

    def _user_accounts(self, groups: dict[str, list[str]]) -> dict[str, Row]:
        """Return every user ever seen."""
        return {
            key: _user_account(seen, *self._last_roles[key], groups.get(key, []) if not seen.deleted_at else [])
            for key, seen in self.users.items()
        }

    def _admin_accounts(self) -> dict[str, Row]:
        """Return every administrator ever seen whose e-mail no present user has."""
        taken = {_email(seen.payload) for seen in _present(self.users).values()} - {None}
        return {
            key: _admin_account(seen) for key, seen in self.administrators.items() if _email(seen.payload) not in taken
        }

    def _access_of(self, snapshot: Snapshot) -> dict[AccessKey, Access]:
        """Return who of the accounts that are not deleted reaches which listed application, and how."""
        there = {key for key, row in self.accounts.items() if row["status"] != "deleted"}
        ways: dict[AccessKey, Access] = {}
        for application_id in _present(self.applications):
            direct = set(snapshot.application_users.get(application_id, ())) & there
            through: dict[str, set[str]] = defaultdict(set)
            for group_id in snapshot.application_groups.get(application_id, ()):
                for user_id in set(snapshot.memberships.get(group_id, ())) & there:
                    through[user_id].add(group_id)
            for user_id in direct | through.keys():
                kind = "direct" if user_id not in through else "both" if user_id in direct else "group"
                ways[application_id, user_id] = Access(kind, sorted(through.get(user_id, ())))
        return ways


def _group_names(snapshot: Snapshot) -> dict[str, list[str]]:
    """Return the sorted group names of every member."""
    names: dict[str, list[str]] = defaultdict(list)
    for group_id, group in by_id(snapshot.usergroups).items():
        name = text(group.get("name"))
        if name is not None:
            for user_id in set(snapshot.memberships.get(group_id, ())):
                names[user_id].append(name)
    return {user_id: sorted(values) for user_id, values in names.items()}


# Events


@dataclass(frozen=True)
class Event:
    """One event dated inside its unit."""

    event_id: str
    event_at: datetime
    payload: Payload
    order: tuple[Any, ...]  # extraction first; of several copies the greatest stands

    @property
    def day(self) -> date:
        """The UTC day."""
        return self.event_at.date()

    @property
    def event_type(self) -> str | None:
        """The event type, from an open set."""
        return text(self.payload.get("event_type"))

    @property
    def actor(self) -> Payload:
        """Who did it: `initiated_by`, or `resource` where that names nobody."""
        initiated_by = member(self.payload, "initiated_by")
        names_somebody = first_text(initiated_by, "id", "username", "email") is not None
        return initiated_by if names_somebody else member(self.payload, "resource")

    @property
    def application_id(self) -> str | None:
        """The application that the event names, whatever its type."""
        return text(member(self.payload, "application").get("id"))

    @property
    def error_message(self) -> str | None:
        """What JumpCloud says went wrong."""
        return text(self.payload.get("error_message"))

    @property
    def is_success(self) -> bool | None:
        """The outcome; None where the event has none. A sign-on that failed without a message is a step on the way."""
        succeeded = _outcome(self.payload)
        is_step = self.event_type == "sso_auth" and succeeded is False and self.error_message is None
        return None if is_step else succeeded


@dataclass(frozen=True)
class Use:
    """One usage event with an outcome, and whose it is."""

    at: datetime
    source: str
    user_id: str | None
    application_id: str | None
    is_success: bool


@dataclass
class LandedUnit:
    """What has come of the readings of one interval; `copies` of each event id, with the reading that they are of."""

    interval_start: datetime
    interval_end: datetime
    services: set[str]
    began_before_retention: bool
    is_whole: bool
    copies: dict[str, list[tuple[datetime, Payload]]]

    def read_again(self, reading: Unit) -> None:
        """Take in a later reading."""
        copies = _copies(reading)
        has_any = any(text(payload.get("id")) for payload in reading.events)
        makes_whole = reading.is_whole and self.copies.keys() <= copies.keys() and (self.is_whole or has_any)
        if makes_whole and not self.is_whole:
            self.services = set(reading.services)
        elif makes_whole or not self.is_whole:
            self.services |= set(reading.services)
        self.is_whole = self.is_whole or makes_whole
        self.began_before_retention = self.began_before_retention and reading.began_before_retention
        self.copies |= copies


def _copies(reading: Unit) -> dict[str, list[tuple[datetime, Payload]]]:
    """Return what a reading lands: all but what lies at its end, which belongs to the next unit."""
    copies: dict[str, list[tuple[datetime, Payload]]] = defaultdict(list)
    for payload in reading.events:
        event_id = text(payload.get("id"))
        if event_id is not None and moment(payload.get("timestamp")) != reading.interval_end:
            copies[event_id].append((reading.extracted_at, payload))
    return dict(copies)


def _landed_units(readings: list[Unit]) -> list[LandedUnit]:
    """Return one unit per interval, of all its readings in the order of time."""
    landed: dict[tuple[datetime, datetime], LandedUnit] = {}
    for reading in sorted(readings, key=lambda item: item.extracted_at):
        bounds = (reading.interval_start, reading.interval_end)
        if bounds in landed:
            landed[bounds].read_again(reading)
        else:
            began, services = reading.began_before_retention, set(reading.services)
            landed[bounds] = LandedUnit(*bounds, services, began, reading.is_whole, _copies(reading))
    return [landed[bounds] for bounds in sorted(landed)]


def _inside(unit: LandedUnit) -> list[Event]:
    """Return the unit's events that are dated in its half-open interval; the rest are strays."""
    events = []
    for event_id, copies in unit.copies.items():
        for extracted_at, payload in copies:
            event_at = moment(payload.get("timestamp"))
            if event_at is not None and unit.interval_start <= event_at < unit.interval_end:
                order = (extracted_at, unit.interval_start, unit.interval_end, event_at, *_told(payload))
                events.append(Event(event_id, event_at, payload, order))
    return events


def _outcome(payload: Payload) -> bool | None:
    """Return what an event says of its success; of a step on the way that is no."""
    return outcome(payload.get("sso_token_success" if payload.get("event_type") == "sso_auth" else "success"))


def _told(payload: Payload) -> list[str]:
    """What copies of one event are told apart by, once they are of one moment: nothing is less than something."""
    actors = [member(payload, owner).get(name) for owner in ("initiated_by", "resource") for name in NAMES_OF_ACTORS]
    application = [member(payload, "application").get(name) for name in NAMES_OF_APPLICATIONS]
    fields = [payload.get("event_type"), *actors, *application]
    # An empty text is something; and of the three outcomes these words happen to be in order.
    told = {True: "success", False: "failure", None: ""}[_outcome(payload)]
    return [told, *("" if one is None else f"={one}" for one in fields)]


def _events(units: list[LandedUnit]) -> list[Event]:
    """Return each event once per date and id: its latest extraction."""
    latest: dict[tuple[date, str], Event] = {}
    for event in sorted((event for unit in units for event in _inside(unit)), key=lambda event: event.order):
        latest[event.day, event.event_id] = event
    return [latest[key] for key in sorted(latest)]


def _event_row(event: Event) -> Row:
    """Return an event as the events view has it."""
    return {
        "date": event.day,
        "event_id": event.event_id,
        "event_type": event.event_type,
        "service": text(event.payload.get("service")),
        "event_at": event.event_at,
        "user_id": text(event.actor.get("id")),
        "application_id": event.application_id,
        "is_success": event.is_success,
        "error_message": event.error_message,
    }


class Actors:
    """Finds the account that a usage event is about, among the accounts of the last snapshot."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._on: dict[date, Accounts] = {}

    def find(self, source: str, actor: Payload, day: date) -> str | None:
        """Return the account's id, else the raw id, else None; `day` is the event's."""
        if day not in self._on:
            self._on[day] = Accounts(self._directory, day)
        raw_id = text(actor.get("id"))
        if source != "admin_portal":
            return raw_id or self._on[day].user(actor)
        known = self._directory.administrators.get(raw_id) if raw_id else None
        emails = (_email(actor), _email(known.payload) if known else None)
        return next((found for email in emails if (found := self._on[day].administrator(email))), raw_id)


class Accounts:
    """The accounts that an event of a day may mean: those that were not created on a later day."""

    def __init__(self, directory: Directory, day: date) -> None:
        users = _created_by(directory.users, day)
        self._groups = (_present(users), _removed(users))
        self._by_username = [_standing(group, _username) for group in self._groups]
        self._by_email = [_standing(group, _email) for group in self._groups]
        administrators = _standing(_created_by(directory.administrators, day), _email)
        self._by_admin_email = self._by_email[1] | administrators | self._by_email[0]

    def user(self, actor: Payload) -> str | None:
        """Return the user whom a username, then an e-mail leads to."""
        username = _username(actor)
        if username is not None:
            for by_username in self._by_username:
                if username in by_username:
                    return by_username[username]
            for group in self._groups:
                alike = [key for key, seen in group.items() if lower(_username(seen.payload) or "") == lower(username)]
                if len(alike) == 1:
                    return alike[0]
        as_email = lower(username) if username is not None and "@" in username else None
        for email in (_email(actor), as_email):
            for by_email in self._by_email:
                if email in by_email:
                    return by_email[email]
        return None

    def administrator(self, email: str | None) -> str | None:
        """Return the present user with the e-mail, else the administrator, else a deleted user."""
        return self._by_admin_email.get(email) if email is not None else None


def _created_by(known: dict[str, Seen], day: date) -> dict[str, Seen]:
    """Return those who were not created on a later day."""
    created = {key: moment(seen.payload.get("created")) for key, seen in known.items()}
    return {key: known[key] for key, at in created.items() if at is None or at.date() <= day}


def _resolved(events: list[Event], actors: Actors) -> list[Use]:
    """Return the usage events that have an outcome, each with its actor."""
    uses = []
    for event in events:
        source = SOURCES.get(event.event_type or "")
        if source is not None and event.is_success is not None:
            application_id = event.application_id if source == "sso" else None
            user_id = actors.find(source, event.actor, event.day)
            uses.append(Use(event.event_at, source, user_id, application_id, event.is_success))
    return uses


# Coverage


Stretch = tuple[datetime, datetime]


@dataclass(frozen=True)
class Coverage:
    """What is known of an organization's usage: whether at all, and the stretches of covered time, in time order."""

    state: str
    stretches: list[Stretch]

    @property
    def starts_at(self) -> datetime | None:
        """The start of the known range: of the stretch that ends last."""
        return self.stretches[-1][0] if self.stretches else None

    @property
    def ends_at(self) -> datetime | None:
        """The greatest covered instant."""
        return self.stretches[-1][1] if self.stretches else None

    @property
    def known_days(self) -> int:
        """The whole UTC days of the known range."""
        return sum(row["is_known"] for row in self.days())

    def days(self) -> list[Row]:
        """Return a row for every day from the first covered one to that of the last covered instant."""
        rows: list[Row] = []
        day = midnight(self.stretches[0][0]) if self.stretches else datetime.max
        while self.stretches and day < self.stretches[-1][1]:
            parts = [min(end, day + DAY) - max(start, day) for start, end in self.stretches]
            rows.append(
                {
                    "date": day.date(),
                    "covered_seconds": sum((max(part, timedelta()) for part in parts), timedelta())
                    // timedelta(seconds=1),
                    "is_known": self.stretches[-1][0] <= day and day + DAY <= self.stretches[-1][1],
                }
            )
            day += DAY
        return rows

    def row_state(self, uses: list[Use], is_measured: bool = True) -> str:
        """Return the usage state of a row with these successes."""
        if uses:
            return "used"
        return "never_used" if self.state == "available" and self.stretches and is_measured else "unknown"

    def recent(self, uses: list[Use], days: int) -> list[Use]:
        """Return the successes of the last whole UTC days, back from that of the last covered instant."""
        if self.ends_at is None:
            return []
        last = (self.ends_at - MICROSECOND).date()
        return [use for use in uses if last - timedelta(days=days) < use.at.date() <= last]

    def counted(self, count: int, days: int, state: str) -> int | None:
        """Return a count over these last days: zero only where the known range holds all of them."""
        if state == "unknown" or self.starts_at is None or self.ends_at is None:
            return None
        first = midnight(self.ends_at - MICROSECOND) - (days - 1) * DAY
        return count if count or self.starts_at <= first else None

    def idle_days(self, state: str, *since: datetime | None) -> int | None:
        """Return the whole days without use from the latest of `since` to the end of the known range."""
        if state == "unknown" or self.starts_at is None or self.ends_at is None:
            return None
        last = max([self.starts_at, *(at for at in since if at is not None)])
        return max((self.ends_at - last) // DAY, 0)

    def is_idle_told(self, days: int) -> bool:
        """Say whether the known range is as long as this."""
        return (
            self.state == "available"
            and self.starts_at is not None
            and self.ends_at is not None
            and self.ends_at - self.starts_at >= days * DAY
        )


def midnight(at: datetime) -> datetime:
    """Return the first instant of a day."""
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _is_unverified(unit: LandedUnit, units: list[LandedUnit]) -> bool:
    """Say whether a unit is empty where JumpCloud may not have had anything any longer."""
    first = min((unit.interval_start for unit in units if _inside(unit)), default=datetime.max)
    return not _inside(unit) and (unit.interval_start < first or unit.began_before_retention)


def _coverage(units: list[LandedUnit], insights: list[Insights]) -> Coverage:
    """Work out what the landed units and the last finding say of an organization."""
    stretches: list[Stretch] = []
    for unit in sorted(units, key=lambda item: item.interval_start):
        is_asked_for_all = "all" in unit.services or {"directory", "sso"} <= unit.services
        if not unit.is_whole or not is_asked_for_all or _is_unverified(unit, units):
            continue
        if stretches and unit.interval_start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(stretches[-1][1], unit.interval_end))
        else:
            stretches.append((unit.interval_start, unit.interval_end))
    if insights and insights[-1].state == "unavailable":
        return Coverage("unavailable", stretches)
    return Coverage("available" if any(_inside(unit) for unit in units) else "unknown", stretches)


def _usage_coverage(units: list[LandedUnit]) -> list[Row]:
    """Return one row per landed unit."""
    return [
        {
            "interval_start": unit.interval_start,
            "interval_end": unit.interval_end,
            "events": len({event.event_id for event in _inside(unit)}),
            "outcome": "incomplete" if not unit.is_whole else "unverified" if _is_unverified(unit, units) else "ok",
        }
        for unit in units
    ]


# Attempts


def _sync_status(organization_id: str, attempts: list[Attempt]) -> str:
    """Say how the latest runs that tried an organization ended: that of usage if it failed, else of the directory."""
    own = sorted((one for one in attempts if one.organization_id == organization_id), key=lambda one: one.at)
    by_side = {one.side: one for one in own}
    if "usage" in by_side and by_side["usage"].outcome == "failed":
        return "failed"
    unrestricted = [one for one in attempts if one.side == "directory" and not one.is_restricted]
    latest = max(unrestricted, key=lambda one: one.at, default=None)
    tried = by_side.get("directory")
    if tried is None or (latest is not None and latest.run_id != tried.run_id and latest.at > tried.at):
        return "stale"
    return tried.outcome


def _with_unread(landed: list[Row], organization_id: str, attempts: list[Attempt]) -> list[Row]:
    """Add what was last tried in vain and nothing has landed of, cut at the ends of days."""
    latest: dict[tuple[datetime, datetime], str] = {}
    for attempt in sorted(attempts, key=lambda one: one.at):
        if attempt.organization_id == organization_id and attempt.side == "usage" and attempt.interval is not None:
            start, end = attempt.interval
            while start < end:
                until = min(midnight(start) + DAY, end)
                latest[start, until] = attempt.outcome
                start = until
    rows = [*landed]
    for (start, end), ended in latest.items():
        if ended in ("failed", "skipped") and not any(
            row["interval_start"] < end and start < row["interval_end"] for row in landed
        ):
            rows.append({"interval_start": start, "interval_end": end, "events": 0, "outcome": ended})
    return sorted(rows, key=lambda row: (row["interval_start"], row["interval_end"]))


# Usage


def _successes(uses: list[Use], key: Callable[[Use], Any]) -> dict[Any, list[Use]]:
    """Group successes by `key`, in time order."""
    grouped: dict[Any, list[Use]] = defaultdict(list)
    for use in sorted(uses, key=lambda use: use.at):
        if use.is_success:
            grouped[key(use)].append(use)
    return grouped


def _days(uses: list[Use]) -> int:
    """Count the distinct UTC days."""
    return len({use.at.date() for use in uses})


def _latest(uses: list[Use], *sources: str) -> datetime | None:
    """Return the last instant of these sources (all sources where none is given)."""
    return max((use.at for use in uses if not sources or use.source in sources), default=None)


def _usage_daily(uses: list[Use]) -> list[Row]:
    """Return one row per day, user, application and source."""
    grouped: dict[tuple[date, str | None, str | None, str], list[Use]] = defaultdict(list)
    for use in uses:
        grouped[use.at.date(), use.user_id, use.application_id, use.source].append(use)
    rows = []
    for (day, user_id, application_id, source), several in grouped.items():
        times = [use.at for use in several if use.is_success]
        rows.append(
            {
                "date": day,
                "user_id": user_id,
                "application_id": application_id,
                "source": source,
                "successes": len(times),
                "failures": len(several) - len(times),
                "first_at": min(times, default=None),
                "last_at": max(times, default=None),
            }
        )
    return sorted(rows, key=lambda row: (row["date"], row["user_id"] or "", row["application_id"] or "", row["source"]))


def _usage_by_day(uses: list[Use]) -> list[Row]:
    """Return one row per day, source and application."""
    grouped: dict[tuple[date, str, str | None], list[Use]] = defaultdict(list)
    for use in uses:
        grouped[use.at.date(), use.source, use.application_id].append(use)
    rows = []
    for (day, source, application_id), several in grouped.items():
        successful = [use for use in several if use.is_success]
        rows.append(
            {
                "date": day,
                "source": source,
                "application_id": application_id,
                "users": len({use.user_id for use in successful if use.user_id is not None}),
                "successes": len(successful),
                "failures": len(several) - len(successful),
            }
        )
    return sorted(rows, key=lambda row: (row["date"], row["source"], row["application_id"] or ""))


def _users(directory: Directory, uses: list[Use], coverage: Coverage) -> list[Row]:
    """Return one row per account."""
    used_by = _successes(uses, lambda use: use.user_id)
    reach: dict[str, int] = defaultdict(int)
    for _, user_id in directory.access:
        reach[user_id] += 1
    rows = []
    for user_id, account in sorted(directory.accounts.items()):
        own = used_by.get(user_id, [])
        state = coverage.row_state(own)
        last = max(own, key=lambda use: (use.at, SOURCE_RANK[use.source]), default=None)
        rows.append(
            {
                "user_id": user_id,
                **account,
                "application_count": reach[user_id],
                "last_used_at": last.at if last else None,
                "last_used_via": last.source if last else None,
                "last_portal_login_at": _latest(own, "user_portal", "admin_portal"),
                "last_sso_at": _latest(own, "sso"),
                "usage_days_30d": coverage.counted(_days(coverage.recent(own, 30)), 30, state),
                "usage_state": state,
                "idle_days": coverage.idle_days(state, last.at if last else None, account["created_at"]),
            }
        )
    return rows


def _listing(seen: Seen) -> Row:
    """Return the columns of an application that a snapshot has listed."""
    return {
        "name": first_text(seen.payload, "displayLabel", "displayName", "name"),
        "catalog_name": first_text(seen.payload, "displayName", "name"),
        "sso_type": text(member(seen.payload, "sso").get("type")),
        "is_active": flag(seen.payload.get("active")),
        "is_listed": seen.deleted_at is None,
        "created_at": moment(seen.payload.get("created")),
        "first_seen_at": seen.first_seen_at,
        "last_seen_at": seen.last_seen_at,
        "deleted_at": seen.deleted_at,
    }


def _named_by_events(events: list[Event]) -> dict[str, Row]:
    """Return the columns of every application that an `sso_auth` names, as the latest one has them."""
    named: dict[str, Row] = {}
    for event in sorted(events, key=lambda event: (event.event_at, event.event_id)):
        if event.event_type == "sso_auth" and event.application_id is not None:
            application = member(event.payload, "application")
            named[event.application_id] = {
                "name": first_text(application, "display_label", "display_name", "name"),
                "catalog_name": first_text(application, "display_name", "name"),
                "sso_type": text(application.get("sso_type")),
                "is_active": None,
                "is_listed": False,
                "created_at": None,
                "first_seen_at": None,
                "last_seen_at": None,
                "deleted_at": None,
            }
    return named


def _application_columns(directory: Directory, events: list[Event]) -> dict[str, Row]:
    """Return the columns of every application: listed, deleted, or named by events only; and whether use is seen."""
    named = _named_by_events(events)
    columns = {**named, **{key: _listing(seen) for key, seen in directory.applications.items()}}
    return {
        key: {**row, "is_measured": key in named or lower(row["sso_type"] or "") in ("saml", "oidc")}
        for key, row in columns.items()
    }


def _applications(directory: Directory, events: list[Event], uses: list[Use], coverage: Coverage) -> list[Row]:
    """Return one row per application: listed, deleted, or named by events only."""
    used = _successes(uses, lambda use: use.application_id)
    reached: dict[str, list[Row]] = defaultdict(list)
    for row in _application_users(directory, events, uses, coverage):
        if row["access"] != "none":
            reached[row["application_id"]].append(row)
    rows = []
    for application_id, listing in sorted(_application_columns(directory, events).items()):
        own = used.get(application_id, [])
        is_measured = listing["is_measured"]
        state = coverage.row_state(own, is_measured)
        active = {use.user_id for use in coverage.recent(own, 30)} & directory.accounts.keys()
        unused = [row for row in reached[application_id] if row["last_used_at"] is None]
        is_told = coverage.state == "available" and coverage.stretches and is_measured
        idle = {
            days: sum(row["idle_days"] >= days for row in reached[application_id])
            if is_measured and coverage.is_idle_told(days)
            else None
            for days in (30, 90)
        }
        rows.append(
            {
                "application_id": application_id,
                **listing,
                "users_with_access": len(reached[application_id]),
                "users_active_30d": coverage.counted(len(active), 30, state),
                "users_never_used": len(unused) if is_told else None,
                "users_idle_30d": idle[30],
                "users_idle_90d": idle[90],
                "last_used_at": _latest(own),
                "usage_state": state,
            }
        )
    return rows


def _application_users(directory: Directory, events: list[Event], uses: list[Use], coverage: Coverage) -> list[Row]:
    """Return one row per application and account where there is access now or was any use."""
    columns = _application_columns(directory, events)
    used_by = _successes(uses, lambda use: (use.application_id, use.user_id))
    used_keys = {key for key in used_by if key[0] is not None and key[1] in directory.accounts}
    rows = []
    for application_id, user_id in sorted(used_keys | directory.access.keys()):
        own = used_by.get((application_id, user_id), [])
        way = directory.access.get((application_id, user_id))
        since = directory.access_since.get((application_id, user_id))
        state = coverage.row_state(own, columns[application_id]["is_measured"])
        last_30, last_90 = coverage.recent(own, 30), coverage.recent(own, 90)
        last_used_at, created_at = _latest(own), directory.accounts[user_id]["created_at"]
        rows.append(
            {
                "application_id": application_id,
                "user_id": user_id,
                "access": way.access if way else "none",
                "via_group_ids": way.via_group_ids if way else [],
                "access_since": since,
                "first_used_at": min((use.at for use in own), default=None),
                "last_used_at": last_used_at,
                "uses_30d": coverage.counted(len(last_30), 30, state),
                "uses_90d": coverage.counted(len(last_90), 90, state),
                "usage_days_30d": coverage.counted(_days(last_30), 30, state),
                "usage_state": state,
                "idle_days": coverage.idle_days(state, last_used_at, created_at, since) if way else None,
            }
        )
    return rows
