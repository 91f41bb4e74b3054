"""Rows in the shapes of the API, for the demo world.

Every field that must never leave the API is filled with text that begins with `SECRET`, so that a test
can search whatever was written for it.
"""

from __future__ import annotations

import random
from typing import Any

from jumpcloud_sandbox.catalog import DEPARTMENTS
from jumpcloud_sandbox.timestamps import SECOND, format_ns
from jumpcloud_sandbox.world import Json

SECRET = "SANDBOX-SECRET-"
DAY = 86_400 * SECOND
DRAWN_UP = 20_600 * DAY  # 27 May 2026


class Maker:
    """Ids, times and choices of one organization; the same seed and time give the same."""

    def __init__(self, seed: object, now_ns: int) -> None:
        self.random = random.Random(str(seed))
        self.now_ns = now_ns
        self._serial = 0

    def object_id(self, at_ns: int) -> str:
        """A Mongo ObjectId: grows with time, unique within the organization."""
        self._serial += 1
        return f"{at_ns // SECOND:08x}{self.random.getrandbits(40):010x}{self._serial:06x}"

    def days_ago(self, low: float, high: float) -> int:
        """A moment between `high` and `low` days before the directory was drawn up, on a whole millisecond.

        Not before now: people keep their ids from one day's demo to the next.
        """
        ns = DRAWN_UP - int(self.random.uniform(low, high) * DAY)
        return ns - ns % 1_000_000


def secret(what: str) -> str:
    return f"{SECRET}{what}"


def user_row(maker: Maker, person: tuple[str, ...], number: int, domain: str) -> Json:
    """A system user as the list gives it: `organization` is not among its fields."""
    first, last, username = person
    department = maker.random.choice(list(DEPARTMENTS))
    created = maker.days_ago(60, 1500)
    identifier = maker.object_id(created)
    is_enrolled = maker.random.random() < 0.6
    password_at = maker.days_ago(1, 80)
    return {
        "_id": identifier,
        "id": identifier,
        "account_locked": False,
        "account_locked_date": None,
        "activated": True,
        "addresses": [],
        "allow_public_key": True,
        "alternateEmail": "",
        "attributes": [{"name": "badge", "value": f"{4000 + number}"}],
        "company": maker.random.choice(["", "Northwind Traders"]),
        "costCenter": "",
        "created": format_ns(created),
        "department": department,
        "description": "",
        "disableDeviceMaxLoginAttempts": False,
        "displayname": f"{first} {last}",
        "email": f"{username}@{domain}",
        "employeeIdentifier": maker.random.choice([None, f"E{number:05d}"]),
        "employeeType": "",
        "enable_managed_uid": False,
        "enable_user_portal_multifactor": is_enrolled,
        "external_dn": "",
        "external_source_type": "",
        "externally_managed": False,
        "firstname": first,
        "jobTitle": maker.random.choice(DEPARTMENTS[department]),
        "lastname": last,
        "ldap_binding_user": False,
        "location": maker.random.choice(["", "Denver", "Boston", "Paris", "東京"]),
        "mfa": {"configured": is_enrolled, "exclusion": False},
        "middlename": "",
        "password_date": format_ns(password_at),
        "password_expiration_date": format_ns(password_at + 90 * DAY),
        "password_expired": False,
        "password_never_expires": False,
        "passwordless_sudo": False,
        "phoneNumbers": [],
        "public_key": secret("public-key"),
        "samba_service_user": False,
        "ssh_keys": [
            {
                "_id": maker.object_id(created),
                "create_date": format_ns(created),
                "name": "laptop",
                "public_key": f"ssh-ed25519 {secret('ssh-key')} {username}",
            }
        ],
        "state": "ACTIVATED",
        "sudo": False,
        "suspended": False,
        "systemUsername": "",
        "totp_enabled": is_enrolled,
        "unix_guid": 5000 + number,
        "unix_uid": 5000 + number,
        "username": username,
    }


def admin_row(maker: Maker, first: str, last: str, email: str, role: str | None, **others: Any) -> Json:
    """An administrator as GET /api/users gives it."""
    created = maker.days_ago(200, 1400)
    identifier = maker.object_id(created)
    return {
        "_id": identifier,
        "id": identifier,
        "apiKeyAllowed": True,
        "apiKeyHash": {
            "prefix": secret("api-key-hash"),
            "createdAt": format_ns(created),
            "expireAt": format_ns(maker.now_ns + 90 * DAY),
        },
        "apiKeySet": True,
        "apiKeyUpdatedAt": format_ns(created),
        "created": format_ns(created),
        "disableIntroduction": True,
        "email": email,
        "enableMultiFactor": True,
        "firstname": first,
        "growthData": {"experimentStates": {secret("growth-data"): True}, "onboardingState": {}},
        "lastname": last,
        "organization": None,
        "roleName": role,
        "sessionCount": maker.random.randrange(400),
        "suspended": False,
        "totpEnrolled": True,
        "usersTimeZone": "America/Denver",
        **others,
    }


def application_row(maker: Maker, organization_id: str, entry: tuple[str, str, str | None, str]) -> Json:
    """An application of the catalog, with the configuration that holds its keys."""
    slug, catalog, label, kind = entry
    created = maker.days_ago(120, 1200)
    identifier = maker.object_id(created)
    row: Json = {
        "_id": identifier,
        "id": identifier,
        "active": True,
        "beta": False,
        "color": None,
        "config": {
            "acsUrl": {"label": "ACS URL", "type": "text", "value": f"https://{slug}.example.com/acs"},
            "idpCertificate": {"label": "IdP Certificate", "type": "file", "value": secret("certificate")},
            "idpPrivateKey": {"label": "IdP Private Key", "type": "file", "value": secret("private-key")},
        },
        "created": format_ns(created),
        "databaseAttributes": [],
        "description": "",
        "displayLabel": label,
        "displayName": catalog,
        "learnMore": "https://support.example.com/articles/sso",
        "logo": {"url": f"https://static.example.com/logos/{slug}.png"},
        "name": slug,
        "organization": organization_id,
        "sso": {
            "beta": False,
            "idpCertExpirationAt": format_ns(created + 1800 * DAY),
            "jit": False,
            "type": kind,
        },
        "ssoUrl": f"https://sso.example.com/{kind}2/{slug}",
    }
    if label is None:
        del row["displayLabel"]
    return row


def group_row(maker: Maker, name: str, attributes: Json | None = None) -> Json:
    return {
        "id": maker.object_id(maker.days_ago(100, 900)),
        "name": name,
        "type": "user_group",
        "description": "",
        "email": "",
        "attributes": attributes,
        "membershipMethod": "STATIC",
    }
