"""An evolving world with one person in it, and the search for what is left of them."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

from support.evolving import ORGANIZATIONS, EvolvingWorld, object_id
from support.pipeline import query

Json = dict[str, Any]

ORGANIZATION, OTHER_ORGANIZATION = ORGANIZATIONS
USER, ADMINISTRATOR, SECOND_ADMINISTRATOR = object_id("f", 1), object_id("f", 2), object_id("f", 3)
# Names much like the person's, of people who stay.
NEIGHBOURS = {
    object_id("f", 11): ("x.Zoë.O'Hara@x.example", 'zoë.o"hara2'),
    object_id("f", 12): ("Zoë.O'Hara@x.example.org", 'b-zoë.o"hara'),
    object_id("f", 13): ("d'zoe.hara@x.example", "zoë"),
}
USERNAME = 'zoë.o"hara'
EMAILS = ("Zoë.O'Hara@x.example", "ZOË.O'Hara@x.example", "zoe.hara@x.example")
MARK = "p3rsonal"
LAST_STEP = 3
# What may not be found anywhere afterwards.
IDENTIFIERS = (
    USER, ADMINISTRATOR, SECOND_ADMINISTRATOR, USERNAME, *EMAILS, MARK, "zoe.before@x.example", "zoe@home.example",
    "Zoë Ünïque", "Ünïque O'Hara", "Wizard", "Département Ω",
)  # fmt: skip
_PERSONAL = {
    "addresses": [{"streetAddress": MARK}],
    "phoneNumbers": [{"number": MARK}],
    "alternateEmail": "zoe@home.example",
    "attributes": [{"name": "x", "value": MARK}],
    "employeeIdentifier": MARK,
}
MARTS = ("organizations", "users", "applications", "application_users", "usage_daily", "user_history",
         "access_history", "usage_coverage", "events")  # fmt: skip


class WorldWithPerson:
    """An EvolvingWorld whose first organization has the person in three snapshots; the second has a namesake."""

    def __init__(self, seed: int) -> None:
        self.evolving = EvolvingWorld(seed)
        self.step = 0
        self.events: list[Json] = []

    def advance(self, start: datetime) -> None:
        """On to the next snapshot, with events of the days that have passed."""
        if self.step:
            self.evolving.step()
        self.step += 1
        self.evolving.add_events(start, days=1, per_day=15)
        self.events += _events(start, len(self.events)) if self.step <= LAST_STEP else []

    def world(self) -> Json:
        world = self.evolving.world()
        first, second = world["organizations"]
        is_there = self.step <= LAST_STEP
        email = EMAILS[min(self.step, 3) - 1]
        first["users"] += [
            {"_id": one, "email": email, "username": name, "manager": USER if is_there else "", "state": "ACTIVATED"}
            for one, (email, name) in NEIGHBOURS.items()
        ]
        group, application = first["usergroups"][0]["id"], first["applications"][0]["_id"]
        if is_there:
            first["users"].append(_user(email, self.step))
            first["administrators"] += [
                {"_id": one, "email": EMAILS[0].upper() if one == ADMINISTRATOR else EMAILS[2], "firstname": "Zoë",
                 "lastname": "Ünïque O'Hara", "roleName": "Manager", "usersTimeZone": MARK}
                for one in (ADMINISTRATOR, SECOND_ADMINISTRATOR)
            ]  # fmt: skip
            first["memberships"].setdefault(group, []).append(USER)
            first["application_users"].setdefault(application, []).append(USER)
            first["usergroups"][0]["memberQueryExemptions"] = [{"id": USER, "type": "user"}]
        # The same e-mails and user name in another organization are another account.
        second["users"].append(_user(EMAILS[2], 2) | {"_id": object_id("f", 21)})
        first["events"] += self.events
        return world


def _user(email: str, step: int) -> Json:
    return {
        "_id": USER,
        "email": email,
        "username": USERNAME,
        "firstname": "Zoë",
        "lastname": "Ünïque O'Hara",
        # Once there, once put together of the names: two versions in the history.
        "displayname": "Wizard" if step > 1 else "",
        "department": "Département Ω",
        "jobTitle": "Wizard",
        "manager": object_id("f", 11),
        "state": "ACTIVATED",
        "activated": True,
        "totp_enabled": True,
        "created": "2024-01-02T03:04:05.678Z",
        "admin": {"id": ADMINISTRATOR, "roleName": "Help Desk"},
        **_PERSONAL,
    }


def _events(day: datetime, number: int) -> list[Json]:
    """A day of the person's: what they did, what was done to them, and what a neighbour did beside."""
    person: Json = {"id": USER, "type": "user", "username": USERNAME, "email": EMAILS[0]}
    neighbour_id, (email, username) = next(iter(NEIGHBOURS.items()))
    neighbour: Json = {"id": neighbour_id, "type": "user", "username": username, "email": email}
    admin: Json = {"id": ADMINISTRATOR, "type": "admin", "email": EMAILS[0].upper()}
    application = {"id": object_id("3", 0), "name": "wiki", "display_label": "Wiki", "sso_type": "saml"}
    device = {"object_id": object_id("6", 1), "type": "system", "name": f"{USERNAME}-laptop"}
    connection = {"from": device, "to": {"object_id": USER, "type": "user", "name": USERNAME}}
    changes = [
        {"field": "email", "from": "zoe.before@x.example", "to": EMAILS[0]},
        {"field": "addresses", "from": [], "to": [{"streetAddress": MARK}]},
        {"field": "displayname", "from": "Wizard", "to": "Zoë Ünïque O'Hara"},
    ]
    made: list[Json] = [
        {"event_type": "user_login_attempt", "initiated_by": person, "success": True},
        {"event_type": "user_login_attempt", "resource": person, "success": False, "client_ip": MARK},
        {"event_type": "user_login_attempt", "initiated_by": {"type": "user", "username": USERNAME}, "success": True},
        {"event_type": "sso_auth", "initiated_by": person, "sso_token_success": True, "application": application,
         "auth_context": {"system": {"hostname": MARK}}},
        {"event_type": "admin_login_attempt", "initiated_by": admin, "success": True},
        {"event_type": "admin_login_attempt", "initiated_by": {"email": EMAILS[2]}, "success": True},
        {"event_type": "user_update", "initiated_by": neighbour, "resource": {**person, "displayname": "Wizard"},
         "changes": changes, "success": True},
        {"event_type": "user_update", "initiated_by": admin, "resource": neighbour, "changes": changes[1:2]},
        {"event_type": "association_change", "initiated_by": neighbour, "success": True,
         "association": {"op": "add", "connection": connection}},
        {"event_type": "user_login_attempt", "initiated_by": neighbour, "success": True, "client_ip": "192.0.2.7",
         "auth_context": {"system": {"hostname": "LAPTOP"}}},
        {"event_type": "user_create", "initiated_by": neighbour, "success": False,
         "error_message": f"taken: <zoe.before@x.example>, '{EMAILS[1]}' ({USERNAME})."},
    ]  # fmt: skip
    return [
        {
            "id": f"e{number + position:023x}",
            "service": "sso" if event["event_type"] == "sso_auth" else "directory",
            "organization": ORGANIZATION,
            "timestamp": f"{(day + timedelta(hours=6, minutes=position)).isoformat()}Z",
            **event,
        }
        for position, event in enumerate(made)
    ]


def landed_rows(landing: Path) -> Iterator[tuple[Path, Json]]:
    """Every landed row, with its file."""
    for path in sorted(landing.rglob("*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            yield path.relative_to(landing), row


def traces_in_landing(landing: Path, organization_id: str = ORGANIZATION) -> list[tuple[str, str]]:
    """Where in an organization's landing, or in files of all, an identifier stands."""
    return [
        (str(path), found)
        for path, row in landed_rows(landing)
        if f"organization_id={organization_id}" in str(path) or "organization_id=" not in str(path)
        if row.get("organization_id", organization_id) == organization_id
        for found in _identifiers_in(row)
    ]


def traces_in_warehouse(warehouse: Path, organization_id: str = ORGANIZATION) -> list[tuple[str, str]]:
    """The tables and views of a warehouse, hidden ones too, in which an identifier stands."""
    found = []
    with contextlib.closing(duckdb.connect(str(warehouse), read_only=True)) as connection:
        tables = connection.execute("select table_schema, table_name from information_schema.tables").fetchall()
        for schema, table in tables:
            cursor = connection.execute(f'from "{schema}"."{table}"')
            names = [column[0] for column in cursor.description or []]
            for row in cursor.fetchall():
                named = dict(zip(names, row, strict=True))
                if named.get("organization_id", organization_id) == organization_id:
                    found += [(table, identifier) for identifier in _identifiers_in(named)]
    return found


def _identifiers_in(row: Json) -> set[str]:
    texts = "\n".join(_texts(row))
    for email, username in NEIGHBOURS.values():
        texts = texts.replace(email, "").replace(username, "") if len(username) > 4 else texts.replace(email, "")
    return {one for one in IDENTIFIERS if one.lower() in texts.lower()}


def _texts(value: Any) -> Iterator[str]:
    """Every text of a row, as it is, and of JSON within it."""
    if isinstance(value, str):
        yield value
        if value[:1] in ("{", "["):
            with contextlib.suppress(ValueError):
                yield from _texts(json.loads(value))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def marts_without_person(warehouse: Path, ids: Iterable[str]) -> dict[str, Counter[str]]:
    """Every row of every mart, in which a star stands for whatever is a name or an id of the person's."""
    own = set(ids)
    naming = ("email", "username", "first_name", "last_name", "display_name", "department", "job_title",
              "employee_id", "cost_center", "company", "location", "error_message")  # fmt: skip
    masked: dict[str, Counter[str]] = {}
    for mart in MARTS:
        rows = query(warehouse, f"select {'* exclude (payload)' if mart == 'events' else '*'} from {mart}")
        for row in rows:
            if "error_message" in row:
                # Its words may name the person, in events that name them in any way.
                row["error_message"] = row["error_message"] and "*"
            if row.get("user_id") in own:
                row.update({name: row[name] and "*" for name in naming if name in row}, user_id="*")
            if row.get("manager_id") in own:
                row["manager_id"] = "*"
        masked[mart] = Counter(map(repr, rows))
    return masked


def forgotten_ids(warehouse: Path) -> list[str]:
    """The ids that stand for the person in a warehouse."""
    rows = query(warehouse, "select user_id from users where email like '%@%' and email ilike 'forgotten-%'")
    return [row["user_id"] for row in rows]
