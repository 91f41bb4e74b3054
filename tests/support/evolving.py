"""Small worlds that change between snapshots, seeded, full of what goes wrong: ties, returns, doubles, odd text."""

from __future__ import annotations

import copy
import random
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]

ORGANIZATIONS = ("a" * 24, "b" * 24)
# Few names, so that they meet: in another case, across users and administrators, after a deletion.
EMAILS = ["ana@x.io", "ANA@x.io", "bo@x.io", "Bo@X.io", "çé@x.io", "d'o@x.io", "e@x.io", "f@x.io", "", None]
USERNAMES = ["ana", "Ana", "ANA", "bo", "çé", "ÇÉ", "d'o", "e", "f", "Ana@X.io", "bo@x.io", "", None]
ROLES = ["Manager", "manager", "Help Desk", "Ünïque", "Administrator With Billing", "", None]
TEXTS = ["", None, "Sales", "R&D", 'say "hi"', "C:\\temp", "مرحبا", "日本", "😀", " ", "null"]
PROFILE = ("employeeIdentifier", "costCenter", "company", "location")
STATES = ["ACTIVATED", "STAGED", "SUSPENDED", "suspended", None]
# Some were created on the very day of what they are said to have done, some later.
LATELY = [f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d}T{time}Z"
          for days, time in ((5, "23:59:59.9999999"), (4, "00:00:00"), (3, "12:00:00"), (30, "00:00:00"))]  # fmt: skip
MISSING = object()


def object_id(kind: str, number: int) -> str:
    return f"{kind}{number:023x}"


class EvolvingWorld:
    """A world of two organizations; `step` changes some of everything."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.organizations: list[Json] = [self._organization(one) for one in ORGANIZATIONS]
        self.removed: dict[tuple[str, str], list[Json]] = {}

    def world(self) -> Json:
        keys = [{"key": "sandbox-key", "organizations": list(ORGANIZATIONS), "is_multi_tenant": True}]
        return {"organizations": copy.deepcopy(self.organizations), "keys": keys}

    def step(self) -> None:
        for organization in self.organizations:
            for kind in ("users", "administrators", "applications"):
                self._change(organization, kind)
            self._bind(organization)
            organization["displayName"] = self.random.choice([organization["displayName"], "New name", None, ""])

    def add_events(self, start: datetime, days: int, per_day: int) -> None:
        for organization in self.organizations:
            for day in range(days):
                organization["events"] += [
                    self.event(organization, start + timedelta(days=day)) for _ in range(per_day)
                ]

    def _organization(self, organization_id: str) -> Json:
        prefix = organization_id[0]
        organization: Json = {
            "id": organization_id,
            "displayName": self.random.choice(["Örg", None]),
            "users": [self._user(object_id("1", n)) for n in range(8)],
            "administrators": [self._administrator(object_id("2", n)) for n in range(5)],
            "applications": [self._application(object_id("3", n), organization_id) for n in range(4)],
            "usergroups": [
                {"id": object_id("4", n), "name": name, "type": "user_group"}
                for n, name in enumerate(["All", "All", "", f"{prefix}-çrew"])
            ],
            "roles": [{"id": object_id("5", 0), "name": "Named by the list", "description": "", "scopes": []}],
            "memberships": {},
            "application_users": {},
            "application_groups": {},
            "events": [],
        }
        self._bind(organization)
        return organization

    def _pick(self, row: Json, key: str, choices: list[Any]) -> None:
        """Set a field to one of `choices`, or leave it out."""
        value = self.random.choice([*choices, MISSING])
        if value is not MISSING:
            row[key] = value

    def _user(self, user_id: str) -> Json:
        row: Json = {"_id": user_id}
        flags = [True, False, False, None, "true"]
        for key in ("email", "username"):
            self._pick(row, key, EMAILS if key == "email" else USERNAMES)
        for key in ("firstname", "lastname", "displayname", "department", "jobTitle", "manager", *PROFILE):
            self._pick(row, key, TEXTS)
        for key in ("suspended", "account_locked", "password_expired", "totp_enabled"):
            self._pick(row, key, flags)
        self._pick(row, "activated", [True, True, False, None, "false"])
        self._pick(row, "state", STATES)
        self._pick(row, "created", ["2024-01-02T03:04:05.678Z", "not a time", "", None, *LATELY])
        self._pick(row, "mfa", [{"configured": True}, {"configured": False}, {}, None])
        self._pick(row, "mfaEnrollment", [{"overallStatus": "ENROLLED"}, {"overallStatus": "DISABLED"}, None])
        role_names = [self.random.choice(ROLES) for _ in range(2)]
        self._pick(
            row,
            "admin",
            [None, {}, "", {"roleName": self.random.choice(ROLES)}, {"roleNames": role_names, "id": "x"}],
        )
        return row

    def _administrator(self, administrator_id: str) -> Json:
        row: Json = {"_id": administrator_id}
        self._pick(row, "email", EMAILS)
        for key in ("firstname", "lastname", "displayname"):
            self._pick(row, key, TEXTS)
        self._pick(row, "created", ["2024-01-02T03:04:05.678Z", None, *LATELY])
        self._pick(row, "suspended", [True, False, None])
        self._pick(row, "totpEnrolled", [True, False, None])
        self._pick(row, "roleName", ROLES)
        self._pick(row, "roleNames", [None, [], [self.random.choice(ROLES) for _ in range(3)]])
        return row

    def _application(self, application_id: str, organization_id: str) -> Json:
        row: Json = {"_id": application_id, "organization": organization_id}
        for key in ("name", "displayName", "displayLabel"):
            self._pick(row, key, TEXTS)
        self._pick(row, "active", [True, False, None, "true"])
        self._pick(row, "sso", [{"type": "saml"}, {"type": "OIDC"}, {"type": "bookmark"}, {"type": ""}, {}, None])
        return row

    def _change(self, organization: Json, kind: str) -> None:
        rows: list[Json] = organization[kind]
        gone = self.removed.setdefault((organization["id"], kind), [])
        make = {
            "users": self._user,
            "administrators": self._administrator,
            "applications": lambda one: self._application(one, organization["id"]),
        }[kind]
        for row in list(rows):
            chance = self.random.random()
            if chance < 0.25:
                rows.remove(row)
                gone.append(row)
            elif chance < 0.55:
                rows[rows.index(row)] = make(row["_id"])
        if gone and self.random.random() < 0.7:
            rows.append(gone.pop(self.random.randrange(len(gone))))
        if self.random.random() < 0.5:
            number = self.random.randrange(100, 10**6)
            rows.append(make(object_id({"users": "1", "administrators": "2", "applications": "3"}[kind], number)))

    def _bind(self, organization: Json) -> None:
        # One member whom no list of users names.
        users = [row["_id"] for row in organization["users"]] + [object_id("9", 9)]
        groups = [row["id"] for row in organization["usergroups"]]
        applications = [row["_id"] for row in organization["applications"]]

        def some(ids: list[str]) -> list[str]:
            return [one for one in ids if self.random.random() < 0.4]

        organization["memberships"] = {group: some(users) for group in groups}
        organization["application_users"] = {one: some(users) for one in applications}
        organization["application_groups"] = {one: some(groups) for one in applications}

    def event(self, organization: Json, day: datetime) -> Json:
        """An event of that day, whoever it may be about."""
        choice = self.random.choice
        users = [row["_id"] for row in organization["users"]]
        administrators = [row["_id"] for row in organization["administrators"]]
        event_type = choice(["user_login_attempt", "admin_login_attempt", "sso_auth", "sso_auth", "user_update"])
        actor: Json = {}
        self._pick(actor, "id", [*users, *administrators, object_id("8", 8), "", None])
        self._pick(actor, "username", USERNAMES)
        self._pick(actor, "email", EMAILS)
        event: Json = {
            "id": f"{self.random.randrange(10**6):024x}",
            "event_type": event_type,
            "service": "sso" if event_type == "sso_auth" else "directory",
            "organization": organization["id"],
            "timestamp": f"{day:%Y-%m-%d}T{choice(TIMES)}Z",
        }
        self._pick(event, choice(["initiated_by", "resource"]), [actor])
        self._pick(event, choice(["initiated_by", "resource"]), [actor, {}, None, {"id": "", "email": ""}])
        self._pick(event, "success", [True, True, False, None, "true", "false", "True", ""])
        self._pick(event, "error_message", ["denied", "", None, " "])
        if event_type == "sso_auth":
            self._pick(event, "sso_token_success", [True, True, False, False, None, "true", "false", "no"])
            applications = [row["_id"] for row in organization["applications"]]
            application: Json = {
                "sso_type": choice(["saml", "", None]),
                "display_label": choice(["Lbl", "", None]),
                "name": choice(["slug", ""]),
            }
            self._pick(application, "display_name", ["Catalog", "", None])
            self._pick(application, "id", [*applications, object_id("7", 7), "", None])
            self._pick(event, "application", [application, application, None])
        return event


# The same instants again and again, and what a microsecond or less before midnight looks like.
TIMES = [
    "00:00:00",
    "08:00:00",
    "08:00:00.000",
    "08:00:00.000001",
    "12:30:00.123456789",
    "12:30:00.1",
    "23:59:59.999999999",
    "23:59:59.9999995",
    "23:59:59",
]
