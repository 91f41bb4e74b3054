"""One of each oddity that real event data shows, for the demo world."""

from __future__ import annotations

from jumpcloud_sandbox.generate_events import EventMaker
from jumpcloud_sandbox.payloads import DAY, secret
from jumpcloud_sandbox.timestamps import MILLISECOND, SECOND
from jumpcloud_sandbox.world import Json


def oddities(make: EventMaker) -> list[Json]:
    """What makes event data hard, at least once each."""
    users, admins = make.organization["users"], make.organization["administrators"]
    applications = make.organization["applications"]
    user, admin, application = users[0], admins[0], applications[0]
    now = make.maker.now_ns - make.maker.now_ns % SECOND

    def ago(days: float) -> int:
        return now - int(days * DAY)

    older = make.event("admin_login_attempt", ago(5), None, success=True, mfa=True)
    older["resource"] = {"id": admin["id"], "type": "admin", "email": admin["email"]}
    stranger = make.event("admin_login_attempt", ago(3), None, success=False, mfa=False)
    stranger["resource"] = {"type": "admin", "email": "stranger@elsewhere.example"}
    nobody = make.event("user_login_attempt", ago(2.5), {}, success=False, mfa=False, error_message="")
    by_name = make.user_login(user, ago(2.4))
    by_name["initiated_by"] = {"type": "user", "username": user["username"]}
    gone = {
        "id": make.maker.object_id(ago(500)),
        "username": "former.colleague",
        "email": "former@example.com",
    }
    legacy = application | {
        "id": make.maker.object_id(ago(900)),
        "name": "wiki",
        "displayLabel": "Legacy Wiki",
    }
    twice = make.sso(user, application, ago(4.2))
    tie = ago(6) - ago(6) % MILLISECOND
    ties = [make.sso(person, application, tie + nanosecond) for nanosecond, person in enumerate(users[:9])]
    association = {
        "op": "add",
        "action_source": "manual",
        "attributes": None,
        "connection": {
            "from": {"type": "user", "object_id": user["id"], "name": user["username"]},
            "to": {"type": "application", "object_id": application["id"], "name": application["name"]},
        },
    }
    actor = {"id": admin["id"], "type": "admin", "email": admin["email"]}
    changes = [
        {"field": name, "from": secret(f"{name}-old"), "to": secret(f"{name}-new")}
        for name in ("password", "public_key", "apiKeyHash", "growthData")
    ]
    keys = {
        "field": "ssh_keys",
        "from": [],
        "to": [{"name": "laptop", "public_key": secret("ssh-key-in-event")}],
    }
    config = {"field": "config", "from": {"idpPrivateKey": {"value": secret("config-in-event")}}}
    return [
        older,
        stranger,
        nobody,
        by_name,
        twice,
        dict(twice),
        *ties,
        make.sso(user, application, now + 2 * DAY),
        make.sso(user, application, ago(1.5), error="application unreachable"),
        make.sso(user, legacy, ago(12)),
        make.sso(gone, application, ago(20)),
        make.event("user_delete", ago(19), actor, resource={"type": "user"} | gone, success=True),
        make.event("association_change", ago(8), actor, association=association, success=True),
        make.event("application_update", ago(7), actor, changes=[config], resource={"id": application["id"]}),
        make.update(user, admin, ago(9), *changes, keys),
        make.update(
            users[1],
            admin,
            ago(10),
            {"field": "state", "from": "ACTIVATED", "to": "SUSPENDED"},
            {"field": "suspended", "from": False, "to": True},
            {"field": "attributes", "to": [{"name": "Division", "value": "Sales"}]},
        ),
        make.radius(user["username"], ago(1.2)),
        make.radius("nobody.known", ago(1.1), success=False),
        make.event("ldap_bind", ago(2), {"type": "user", "username": user["username"]}, "ldap", success=True),
        make.event("login_attempt", ago(2.2), {}, "systems", success=True, username=user["username"]),
        make.event("access_management_access_request", ago(3.3), actor, "access_management"),
    ]
