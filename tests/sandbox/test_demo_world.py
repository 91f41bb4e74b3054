"""The demo world: deterministic, and with every awkward case that the product must survive."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from jumpcloud_sandbox.generate import demo_world
from jumpcloud_sandbox.payloads import DAY, SECRET
from jumpcloud_sandbox.timestamps import MILLISECOND, parse_ns
from jumpcloud_sandbox.world import normalise

NOW_NS = parse_ns("2026-03-01T12:34:56.789Z")


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    return demo_world(seed=1, now_ns=NOW_NS)


@pytest.fixture(scope="module")
def northwind(demo: dict[str, Any]) -> dict[str, Any]:
    organization: dict[str, Any] = demo["organizations"][0]
    return organization


def test_the_same_seed_and_time_give_the_same_world(demo: dict[str, Any]) -> None:
    assert demo_world(seed=1, now_ns=NOW_NS) == demo
    assert demo_world(seed=2, now_ns=NOW_NS) != demo


def test_three_organizations_of_which_one_has_no_name_and_one_no_insights(demo: dict[str, Any]) -> None:
    normalise(demo)
    shape = [
        (row["displayName"], row["insights"], len(row["users"]), len(row["applications"]))
        for row in demo["organizations"]
    ]
    assert shape == [
        ("Northwind Traders", "enabled", 60, 14),
        ("Blue Yonder Airlines", "not_enabled", 25, 8),
        (None, "enabled", 12, 5),
    ]


def test_ids_are_unique_everywhere(demo: dict[str, Any]) -> None:
    ids = Counter(
        row["id"]
        for organization in demo["organizations"]
        for kind in ("users", "administrators", "applications", "usergroups")
        for row in organization[kind]
    )
    assert max(ids.values()) == 1
    assert all(len(identifier) == 24 for identifier in ids)


def test_users_show_every_state_and_every_kind_of_nothing(northwind: dict[str, Any]) -> None:
    users = northwind["users"]
    assert {user.get("state") for user in users} == {"ACTIVATED", "STAGED", "SUSPENDED", None}
    assert any(user["suspended"] and user.get("state") == "ACTIVATED" for user in users)
    assert any(not user["suspended"] and user.get("state") == "SUSPENDED" for user in users)
    for flag in ("account_locked", "password_expired"):
        assert any(user[flag] for user in users)
    departments = [user.get("department", "missing") for user in users]
    assert {"", None, "missing"} <= set(departments)
    roles = [user["admin"] for user in users if user.get("admin")]
    assert {None, "Fleet Custodian"} <= {role["roleName"] for role in roles}


def test_administrators_are_with_and_without_user_and_in_another_case(northwind: dict[str, Any]) -> None:
    emails = {user["email"] for user in northwind["users"]}
    admins = northwind["administrators"]
    assert any(admin["email"] not in emails and admin["email"].lower() in emails for admin in admins)
    assert any(admin["email"].lower() not in emails for admin in admins)
    assert any(admin["suspended"] for admin in admins)
    assert any("roleNames" in admin for admin in admins)


def test_applications_repeat_slugs_and_lack_labels(northwind: dict[str, Any]) -> None:
    applications = northwind["applications"]
    assert max(Counter(row["name"] for row in applications).values()) == 2
    assert any("displayLabel" not in row for row in applications)
    assert any(not row["active"] for row in applications)


def test_events_are_many_and_odd(northwind: dict[str, Any]) -> None:
    events = northwind["events"]
    applications = {row["id"] for row in northwind["applications"]}
    assert len(events) > 3000
    assert max(Counter(event["id"] for event in events).values()) == 2
    milliseconds = Counter(parse_ns(event["timestamp"]) // MILLISECOND for event in events)
    assert max(milliseconds.values()) >= 9
    assert any(parse_ns(event["timestamp"]) > NOW_NS for event in events)
    named = {event["application"]["id"] for event in events if event["event_type"] == "sso_auth"}
    assert "" in named
    assert len(named - applications - {""}) == 1
    assert applications - named
    fractions = {len(event["timestamp"].partition(".")[2]) for event in events}
    assert {0, 4, 10} <= fractions
    logins = [event for event in events if event["event_type"] == "admin_login_attempt"]
    older = [event for event in logins if "resource" in event]
    assert all("initiated_by" not in event for event in older)
    assert any("id" not in event["resource"] for event in older)
    assert {"radius", "ldap", "systems", "access_management"} <= {event["service"] for event in events}
    assert {} in [event.get("correlation") for event in events]


def test_events_weigh_about_a_kilobyte(northwind: dict[str, Any]) -> None:
    sizes = [len(json.dumps(event)) for event in northwind["events"]]
    assert 700 < sum(sizes) / len(sizes) < 1500


def test_weekdays_are_busier_than_weekends(northwind: dict[str, Any]) -> None:
    numbers = [parse_ns(event["timestamp"]) // DAY for event in northwind["events"]]
    days = Counter((number + 3) % 7 for number in numbers)
    assert min(days[day] for day in range(5)) > 3 * max(days[5], days[6])


def test_secrets_are_planted_wherever_they_occur(northwind: dict[str, Any]) -> None:
    def planted(value: Any) -> bool:
        return SECRET in json.dumps(value)

    assert all(planted(row["config"]) for row in northwind["applications"])
    assert all(planted(user["ssh_keys"]) and planted(user["public_key"]) for user in northwind["users"])
    assert all(planted(a["apiKeyHash"]) and planted(a["growthData"]) for a in northwind["administrators"])
    assert planted(northwind["settings"]["growthData"])
    fields = {
        change["field"] for event in northwind["events"] for change in event.get("changes", []) if planted(change)
    }
    assert fields == {"password", "public_key", "apiKeyHash", "growthData", "ssh_keys", "config"}
