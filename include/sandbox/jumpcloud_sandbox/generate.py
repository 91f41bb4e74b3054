"""The demo world: three organizations that look alive, and the awkward cases among their rows.

The same seed and time give the same world. Keys: `sandbox-key` sees all three organizations,
`sandbox-key-northwind` one, `sandbox-key-write` may change users as well.
"""

from __future__ import annotations

from jumpcloud_sandbox.catalog import APPLICATIONS, PEOPLE, ROLES
from jumpcloud_sandbox.generate_events import EventMaker, daily_life
from jumpcloud_sandbox.generate_oddities import oddities
from jumpcloud_sandbox.payloads import Maker, admin_row, application_row, group_row, secret, user_row
from jumpcloud_sandbox.timestamps import format_ns
from jumpcloud_sandbox.world import Json, Organization, normalise_organization

NORTHWIND = "5f0a1c2e9d3b4a0011223301"
BLUE_YONDER = "5f0a1c2e9d3b4a0011223302"
UNNAMED = "5f0a1c2e9d3b4a0011223303"
PROVIDER = "5f0a1c2e9d3b4a00112233ff"


def demo_world(*, seed: int, now_ns: int) -> Json:
    """A world as `world.normalise` takes it."""

    def maker(name: str) -> Maker:
        return Maker(f"{seed}-{name}", now_ns)

    northwind = _organization(
        maker("northwind"), NORTHWIND, "Northwind Traders", people=(0, 60), applications=14, groups=12
    )
    blue_yonder = _organization(
        maker("blue"), BLUE_YONDER, "Blue Yonder Airlines", people=(60, 85), applications=8, groups=6
    )
    unnamed = _organization(maker("unnamed"), UNNAMED, None, people=(85, 97), applications=5, groups=3)
    everything = [NORTHWIND, BLUE_YONDER, UNNAMED]
    pat = admin_row(maker("provider"), "Pat", "Provider", "pat@msp.example", "Administrator With Billing")
    provider = {"id": PROVIDER, "administrators": [pat], "links": {NORTHWIND: [pat["_id"]]}}
    return {
        "organizations": [northwind, blue_yonder, unnamed],
        "keys": [
            {"key": "sandbox-key", "label": "all", "organizations": everything, "provider_id": PROVIDER},
            {"key": "sandbox-key-northwind", "label": "northwind", "organizations": [NORTHWIND]},
            {
                "key": "sandbox-key-write",
                "label": "write",
                "organizations": everything,
                "provider_id": PROVIDER,
                "permission": "write",
            },
        ],
        "service_accounts": [
            {"client_id": "sandbox-client", "client_secret": "sandbox-secret", "organizations": everything}
        ],
        "providers": [provider],
    }


def _organization(
    maker: Maker,
    identifier: str,
    name: str | None,
    *,
    people: tuple[int, int],
    applications: int,
    groups: int,
) -> Organization:
    domain = f"{(name or 'unnamed').split()[0].lower()}.example"
    rows = PEOPLE[slice(*people)]
    organization = normalise_organization({"id": identifier, "displayName": name})
    organization["created"] = format_ns(maker.days_ago(1600, 1700))
    organization["settings"] = {"growthData": {secret("organization-growth-data"): 1}}
    organization["users"] = [user_row(maker, person, number, domain) for number, person in enumerate(rows)]
    organization["applications"] = [application_row(maker, identifier, entry) for entry in APPLICATIONS[:applications]]
    organization["roles"] = [
        {"id": maker.object_id(maker.days_ago(400, 500)), "name": role, "description": text, "scopes": []}
        for role, text in ROLES.items()
    ]
    _add_managers(maker, organization)
    _add_awkward_users(maker, organization)
    _add_administrators(maker, organization, domain)
    _add_groups(maker, organization, groups)
    if name == "Blue Yonder Airlines":
        organization["insights"] = "not_enabled"
    else:
        make = EventMaker(maker, organization)
        organization["events"] = daily_life(make, _reach(organization)) + oddities(make)
    organization["applications"][-2]["active"] = False
    return organization


def _add_managers(maker: Maker, organization: Organization) -> None:
    """Everybody but the first reports to one of the first four; an unset manager is absent, not null."""
    users = organization["users"]
    for number, user in enumerate(users[1:], start=1):
        user["manager"] = users[maker.random.randrange(min(4, number))]["id"]


def _add_awkward_users(maker: Maker, organization: Organization) -> None:
    """From the end backwards, so that the first users stay ordinary; small organizations get fewer."""
    users = organization["users"]
    edits: list[Json] = [
        {"state": "STAGED", "activated": False, "password_date": None, "password_expiration_date": None},
        {"state": "SUSPENDED", "suspended": True},
        {
            "account_locked": True,
            "account_locked_date": format_ns(maker.days_ago(1, 3)),
            "badLoginAttempts": 6,
        },
        {"password_expired": True},
        {"state": "ACTIVATED", "activated": False},
        {"state": "ACTIVATED", "suspended": True},
        {"state": "SUSPENDED", "suspended": False},
        {"account_locked": True, "password_expired": True},
        {"displayname": "Rocket 🚀 Desk", "jobTitle": 'Lead "Night" \\ Shift', "department": ""},
        {"displayname": "", "firstname": "", "lastname": "", "department": None, "jobTitle": None},
        {"totp_enabled": False, "mfa": {"configured": True, "exclusion": False}},
        {
            "totp_enabled": False,
            "mfa": {"configured": False, "exclusion": True, "exclusionDays": 7},
            "mfaEnrollment": {
                "overallStatus": "ENROLLED",
                "totpStatus": "NOT_ENROLLED",
                "webAuthnStatus": "ENROLLED",
                "pushStatus": "NOT_ENROLLED",
                "jcGoStatus": "NOT_ENROLLED",
            },
        },
    ]
    for user, edit in zip(reversed(users), edits, strict=False):
        user.update(edit)
    # Rows recorded before mid-2021 have no state at all; others say nothing about MFA.
    for field in ("state", "password_date", "mfa", "totp_enabled", "department"):
        users[4].pop(field, None)


def _add_administrators(maker: Maker, organization: Organization, domain: str) -> None:
    """With and without a user account; one whose e-mail is the user's in another case; one suspended."""
    users = organization["users"]
    one, two, three = users[0], users[1], users[2]
    admins = [
        admin_row(maker, one["firstname"], one["lastname"], one["email"].upper(), "Administrator With Billing"),
        admin_row(
            maker,
            two["firstname"],
            two["lastname"],
            two["email"],
            "Help Desk",
            roleNames=["Help Desk", "Onboarding Crew"],
        ),
        admin_row(maker, "Billing", "Department", f"billing@{domain}", "Billing Only", totpEnrolled=False),
        admin_row(maker, "Left", "Longago", f"left.longago@{domain}", "administrator", suspended=True),
        admin_row(maker, "", "", f"robot@{domain}", None, organization=organization["id"]),
    ]
    organization["administrators"] = admins
    one["admin"] = {"id": admins[0]["id"], "roleName": "Administrator with Billing"}
    two["admin"] = {"id": admins[1]["id"], "roleName": None, "roleNames": ["Help Desk", "Onboarding Crew"]}
    three["admin"] = {"id": maker.object_id(maker.days_ago(300, 400)), "roleName": "Fleet Custodian"}
    users[3]["admin"] = {"id": maker.object_id(maker.days_ago(300, 400)), "roleName": None}
    users[4]["admin"] = None


def _add_groups(maker: Maker, organization: Organization, count: int) -> None:
    """Everybody, one group per department, an empty one; applications by group, directly, and both."""
    users, random = organization["users"], maker.random
    departments = sorted({user.get("department") or "" for user in users} - {""})
    names = ["All Users", "Contractors", "Empty Shell", *departments, "VPN", "On call", "Pilots", "Board"]
    names = names[:count]
    for name in names:
        group = group_row(maker, name, {"ldapGroups": [{"name": name}]} if name == "VPN" else None)
        organization["usergroups"].append(group)
        members = {
            "All Users": [user["id"] for user in users],
            "Empty Shell": [],
        }.get(name, [user["id"] for user in users if user.get("department") == name])
        if not members and name != "Empty Shell":
            members = [user["id"] for user in random.sample(users, 5)]
        organization["memberships"][group["id"]] = members
    groups = [group["id"] for group in organization["usergroups"]]
    # Someone who was deleted from the user list but not yet from the graph.
    organization["memberships"][groups[1]].append(maker.object_id(maker.days_ago(500, 600)))
    for number, application in enumerate(organization["applications"]):
        identifier = application["id"]
        # The last application is nobody's.
        if number == len(organization["applications"]) - 1:
            break
        organization["application_groups"][identifier] = [groups[0]] if number < 2 else random.sample(groups, 2)
        direct = random.sample(users, 3) if number % 2 else []
        organization["application_users"][identifier] = [user["id"] for user in direct]


def _reach(organization: Organization) -> dict[str, list[Json]]:
    """Applications by user. A fifth of the users, those without a password and two applications see no use."""
    used = [row for number, row in enumerate(organization["applications"]) if number % 6 != 5]
    reach: dict[str, list[Json]] = {}
    for number, user in enumerate(organization["users"]):
        if number % 5 == 3 or not user["activated"]:
            continue
        identifier = user["id"]
        reach[identifier] = [
            application
            for application in used
            if identifier in organization["application_users"].get(application["id"], [])
            or any(
                identifier in organization["memberships"][group]
                for group in organization["application_groups"].get(application["id"], [])
            )
        ]
    return reach
