"""The demo world's events: months of office days."""

from __future__ import annotations

from typing import Any

from jumpcloud_sandbox.catalog import BROWSERS, PLACES
from jumpcloud_sandbox.payloads import DAY, Maker
from jumpcloud_sandbox.timestamps import SECOND, format_ns
from jumpcloud_sandbox.world import Json, Organization

HISTORY_DAYS = 90
SUSPENDED_DAYS = 20  # for how long those who are suspended have been
HOUR = 3600 * SECOND
_SATURDAY = 5
_SYSTEM_ID = "6447f8a7caa17d71c56b2dca"


class EventMaker:
    """Events of one organization, each about a kilobyte, as those of the API are."""

    def __init__(self, maker: Maker, organization: Organization) -> None:
        self.maker = maker
        self.random = maker.random
        self.organization = organization

    def event(self, event_type: str, at_ns: int, actor: Json | None, service: str = "directory", **more: Any) -> Json:
        """The common part; directory times have milliseconds, those of SSO up to nine digits."""
        country, zone, continent, region, code, latitude, longitude = self.random.choice(PLACES)
        browser, system, major, minor, version = self.random.choice(BROWSERS)
        event: Json = {
            "geoip": {
                "country_code": country,
                "timezone": zone,
                "continent_code": continent,
                "region_name": region,
                "region_code": code,
                "latitude": latitude,
                "longitude": longitude,
            },
            "useragent": {
                "name": browser,
                "version": f"{version}.0.0.0",
                "major": version,
                "minor": "0",
                "os": system,
                "os_name": system,
                "os_full": f"{system} {major}.{minor}",
                "os_version": f"{major}.{minor}",
                "os_major": major,
                "os_minor": minor,
                "device": "Other",
            },
            "event_type": event_type,
            "provider": "" if service == "sso" else None,
            "service": service,
            "organization": self.organization["id"],
            "@version": "1",
            "client_ip": f"203.0.113.{self.random.randrange(1, 255)}",
            "id": self.maker.object_id(at_ns),
            "timestamp": format_ns(at_ns),
        }
        return ({"initiated_by": actor} if actor is not None else {}) | more | event

    def user_login(self, user: Json, at_ns: int, *, success: bool = True) -> Json:
        actor = {"id": user["id"], "type": "user", "username": user["username"], "email": user["email"]}
        failure = {} if success else {"error_message": "invalid credentials"}
        methods = {"auth_methods": {"password": {"success": success}}}
        return self.event(
            "user_login_attempt", at_ns, actor, mfa=False, auth_context=methods, success=success, **failure
        )

    def admin_login(self, admin: Json, at_ns: int, *, success: bool = True) -> Json:
        actor = {"id": admin["id"], "type": "admin", "email": admin["email"]}
        return self.event("admin_login_attempt", at_ns, actor, mfa=True, success=success)

    def sso(self, user: Json, application: Json, at_ns: int, *, error: str = "") -> Json:
        """No `success` here: the outcome is `sso_token_success`. Trailing zeros are dropped."""
        is_unreachable = error == "application unreachable"
        event = self.event(
            "sso_auth",
            at_ns,
            {"id": user["id"], "type": "user", "username": user["username"], "administrator": False},
            "sso",
            error_message=error,
            sso_token_success=not error,
            mfa=False,
            idp_initiated=self.random.random() < 0.3,
            application={
                "display_label": "" if is_unreachable else application.get("displayLabel") or "",
                "sso_type": application["sso"]["type"],
                "name": "" if is_unreachable else application["name"],
                "id": "" if is_unreachable else application["id"],
                "sso_url": application["ssoUrl"],
            },
            auth_context={
                "system": {"hostname": "LAPTOP", "os": "Mac OS X", "id": _SYSTEM_ID, "version": "15.4"},
                "auth_methods": {},
                "policies_applied": [
                    {
                        "metadata": {"resource_type": "APPLICATION", "action": "ALLOW"},
                        "name": "Global Policy",
                        "id": "",
                    }
                ],
            },
        )
        exact = format_ns(at_ns, 9).removesuffix("Z").rstrip("0").rstrip(".")
        return event | {
            "timestamp": f"{exact}Z",
            "server_timestamp": format_ns(at_ns, 9),
            "timestamp_source": "server",
        }

    def radius(self, username: str, at_ns: int, *, success: bool = True) -> Json:
        """RADIUS: whole seconds, an upper-case UUID, no user id."""
        number = f"{self.random.getrandbits(128):032X}"
        uuid = f"{number[:8]}-{number[8:12]}-{number[12:16]}-{number[16:20]}-{number[20:]}"
        actor = {"type": "user", "username": username}
        event = self.event("radius_auth_attempt", at_ns, actor, "radius", username=username, mfa=False, success=success)
        del event["provider"], event["useragent"]
        return event | {
            "id": uuid,
            "timestamp": format_ns(at_ns, 0),
            "auth_type": "eap",
            "eap_type": "MSCHAPv2",
        }

    def update(self, user: Json, admin: Json, at_ns: int, *changes: Json) -> Json:
        """A change by SCIM, with the empty objects that such events carry."""
        return self.event(
            "user_update",
            at_ns,
            {"id": admin["id"], "type": "admin", "email": admin["email"], "source": "scim"},
            resource={"id": user["id"], "type": "user", "username": user["username"]},
            changes=list(changes),
            auth_method="api key",
            correlation={},
            message_chain={},
            success=True,
        )


def daily_life(make: EventMaker, reach: dict[str, list[Json]]) -> list[Json]:
    """Who logs in when. `reach` gives each user's applications; those without one never use anything."""
    events: list[Json] = []
    now, chance = make.maker.now_ns, make.random.random
    users = {user["id"]: user for user in make.organization["users"]}
    midnight = now - now % DAY
    habits = {identifier: make.random.uniform(0.25, 0.95) for identifier in reach}
    for day in range(-HISTORY_DAYS, 1):
        start = midnight + day * DAY
        weekday = (start // DAY + 3) % 7  # the epoch was a Thursday
        presence = 0.08 if weekday >= _SATURDAY else 1.0
        for identifier, applications in reach.items():
            if chance() > habits[identifier] * presence:
                continue
            user = users[identifier]
            if day > -SUSPENDED_DAYS and (user["suspended"] or user.get("state") == "SUSPENDED"):
                continue
            at = start + int(make.random.gauss(10, 1.5) * HOUR)
            if chance() < 0.05:
                events.append(make.user_login(user, at - 40 * SECOND, success=False))
            if chance() < 0.6:
                events.append(make.user_login(user, at))
            for application in make.random.sample(applications, min(len(applications), make.random.randrange(4))):
                at += int(make.random.expovariate(1 / 2) * HOUR) + make.random.randrange(SECOND)
                whole = chance() < 0.1
                error = "not authorized" if chance() < 0.02 else ""
                events.append(make.sso(user, application, at - at % SECOND if whole else at, error=error))
        events += [
            make.admin_login(admin, start + int(make.random.gauss(9, 1) * HOUR))
            for admin in make.organization["administrators"]
            if not admin["suspended"] and chance() < 0.4 * presence
        ]
    oldest = now - HISTORY_DAYS * DAY
    return [event for event in events if format_ns(oldest) <= event["timestamp"] < format_ns(now)]
