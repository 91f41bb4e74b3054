"""Personal fields that no mart needs reach landing only where they are to; the marts cannot tell."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.core.redaction import PERSONAL_EVENT_NAMES, PERSONAL_NAMES, remove_event_secrets
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.landing.layout import EVENTS
from jumpcloud_sandbox.client import Sandbox
from support.pipeline import query, run_directory, run_usage, run_warehouse

SWITCH = "AIRFLOW__JUMPCLOUD_ELT__LAND_PERSONAL_FIELDS"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
DAY = timedelta(days=1)
ORGANIZATION = "c" * 24
# In every personal value, and nowhere else.
MARK = "p3rsonal"
MARTS = ("users", "applications", "application_users", "usage_daily", "user_history", "access_history")

Json = dict[str, Any]

PERSONAL_OF_A_USER: Json = {
    "addresses": [{"id": "1", "type": "home", "streetAddress": MARK, "locality": MARK}],
    "phoneNumbers": [{"id": "2", "type": "mobile", "number": MARK}],
    "recoveryEmail": {"address": f"{MARK}@home.example", "verified": True},
    "alternateEmail": f"{MARK}@home.example",
    "relationships": [{"type": "spouse", "value": MARK}],
    "attributes": [{"name": "shoeSize", "value": MARK}],
    "external_dn": f"CN={MARK}",
    "description": MARK,
    "middlename": MARK,
    "managedAppleId": MARK,
    "systemUsername": MARK,
}
KEPT_OF_A_USER: Json = {
    "location": "Oslo",
    "employeeIdentifier": "E-1",
    "email": "zoë@x.example",
    "username": "zoë",
    "firstname": "Zoë",
    "lastname": "O'Hara",
    "displayname": 'Zoë "Zo" O\'Hara',
    "department": "Sales",
    "jobTitle": "Lead",
    "manager": f"{1:024x}",
    "company": "X",
    "costCenter": "12",
    "employeeType": "full-time",
    "state": "ACTIVATED",
    "activated": True,
    "created": "2024-01-02T03:04:05.678Z",
}
PERSONAL_OF_AN_EVENT: Json = {
    "client_ip": MARK,
    "geoip": {"region_name": MARK, "latitude": 1.5},
    "useragent": {"os_full": MARK},
    "user_agent": {"os_full": MARK},
    "system": {"hostname": MARK, "displayName": MARK},
    "hostname": MARK,
}


def _login(number: int, event_type: str, actor: Json, **more: Any) -> Json:
    return {
        "id": f"{number:024x}",
        "event_type": event_type,
        "service": "sso" if event_type == "sso_auth" else "directory",
        "organization": ORGANIZATION,
        "timestamp": f"{(TODAY - DAY / 2).isoformat()}Z",
        "initiated_by": actor,
        **PERSONAL_OF_AN_EVENT,
        **more,
    }


def _world() -> Json:
    user, administrator, application = f"{1:024x}", f"{2:024x}", f"{3:024x}"
    actor = {"id": user, "type": "user", "username": "zoë", "email": "zoë@x.example"}
    changes = [
        {"field": "phoneNumbers", "from": [], "to": [{"number": MARK}]},
        {"field": "addresses[0].locality", "from": MARK, "to": MARK},
        {"field": "attributes", "from": [{"name": "x", "value": MARK}], "to": None},
        {"field": "department", "from": "Sales", "to": "R&D"},
    ]
    system = {"id": "6447f8a7caa17d71c56b2dca", "hostname": MARK, "displayName": MARK, "os": "Mac OS X"}
    organization = {
        "id": ORGANIZATION,
        "displayName": "Örg",
        "users": [{"_id": user, **KEPT_OF_A_USER, **PERSONAL_OF_A_USER}],
        "administrators": [
            {"_id": administrator, "email": "ada@x.example", "roleName": "Manager", "usersTimeZone": MARK,
             "phoneNumber": MARK}
        ],
        "applications": [{"_id": application, "displayLabel": "Wiki", "name": "wiki", "description": "ours"}],
        "application_users": {application: [user]},
        "events": [
            _login(1, "user_login_attempt", actor, success=True),
            _login(2, "sso_auth", actor, sso_token_success=True, application={"id": application, "name": "wiki"},
                   auth_context={"system": system, "auth_methods": {"password": {"success": True}}}),
            _login(3, "admin_login_attempt", {"id": administrator, "type": "admin", "email": "ada@x.example"},
                   success=True),
            _login(4, "user_update", actor, success=True, changes=changes,
                   resource={**actor, "recipient_email": f"{MARK}@home.example"}),
        ],
    }  # fmt: skip
    keys = [{"key": "sandbox-key", "organizations": [ORGANIZATION]}]
    return {"organizations": [organization], "keys": keys}


def _land(sandbox: Sandbox) -> Path:
    sandbox.set_world(_world())
    assert run_directory("directory") == []
    assert run_usage("usage", TODAY - DAY, TODAY) == []
    return run_warehouse("warehouse")


def _landed(settings: Settings, stream: str = "") -> list[Json]:
    files = sorted((settings.landing / stream).rglob("*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def _payloads(settings: Settings, stream: str, key: str) -> dict[str, Json]:
    return {row[key]: json.loads(row["payload"]) for row in _landed(settings, stream)}


def test_by_default_every_personal_field_is_landed(sandbox: Sandbox, settings: Settings) -> None:
    _land(sandbox)
    assert settings.land_personal_fields
    [user] = _payloads(settings, "systemusers", "user_id").values()
    assert user.items() >= {**KEPT_OF_A_USER, **PERSONAL_OF_A_USER}.items()
    for event in _payloads(settings, EVENTS, "event_id").values():
        assert event.items() >= PERSONAL_OF_AN_EVENT.items()


def test_where_they_are_not_to_be_landed_no_personal_value_is_anywhere(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "false")
    warehouse = _land(sandbox)
    assert MARK not in repr(_landed(settings))
    assert MARK not in repr(query(warehouse, "from events"))


def test_where_they_are_not_to_be_landed_all_else_is(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "False")
    _land(sandbox)
    assert _payloads(settings, "systemusers", "user_id") == {
        f"{1:024x}": {"_id": f"{1:024x}", "id": f"{1:024x}", **KEPT_OF_A_USER}
    }
    assert (
        _payloads(settings, "administrators", "administrator_id")[f"{2:024x}"].items()
        >= {"roleName": "Manager"}.items()
    )
    [application] = _payloads(settings, "applications", "application_id").values()
    assert application["description"] == "ours"
    events = _payloads(settings, EVENTS, "event_id")
    assert events[f"{2:024x}"]["auth_context"] == {"auth_methods": {"password": {"success": True}}}
    assert events[f"{4:024x}"]["changes"] == [
        {"field": "phoneNumbers"},
        {"field": "addresses[0].locality"},
        {"field": "attributes"},
        {"field": "department", "from": "Sales", "to": "R&D"},
    ]
    assert events[f"{4:024x}"]["initiated_by"]["email"] == "zoë@x.example"


def test_the_marts_are_the_same_with_and_without(
    sandbox: Sandbox, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = "* exclude (first_seen_at, last_seen_at)"
    columns = {"users": times, "applications": times, "user_history": "* exclude (valid_from)",
               "access_history": "* exclude (valid_from)"}  # fmt: skip
    found = []
    for switch in ("true", "false"):
        monkeypatch.setenv(SWITCH, switch)
        monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / switch))
        warehouse = _land(sandbox)
        found.append(
            {mart: query(warehouse, f"select {columns.get(mart, '*')} from {mart} order by all") for mart in MARTS}
        )
    assert found[0] == found[1]
    assert all(found[0].values())


@pytest.mark.parametrize("name", sorted(PERSONAL_EVENT_NAMES))
@pytest.mark.parametrize("value", [MARK, [MARK], {"x": MARK}, 12345, None, True])
def test_a_personal_field_of_an_event_goes_in_any_spelling_at_any_depth(name: str, value: Any) -> None:
    spellings = (name, name.upper(), "_".join(name))
    event = {"id": "1", "deep": [{spelling: value} for spelling in spellings], name: value}
    changes = [{"field": spelling, "from": value, "to": value} for spelling in spellings]
    texts = pa.array([json.dumps({**event, "changes": changes}), '{"id": "2"}'], pa.string())
    cleaned, untouched = remove_event_secrets(texts, PERSONAL_EVENT_NAMES).to_pylist()
    assert json.loads(cleaned) == {
        "id": "1",
        "deep": [{}, {}, {}],
        "changes": [{"field": spelling} for spelling in spellings],
    }
    assert untouched == '{"id": "2"}'


def test_names_that_marts_need_are_not_among_the_personal_ones() -> None:
    needed = {"_id", "id", *KEPT_OF_A_USER, "roleName", "roleNames", "suspended", "totpEnrolled", "initiated_by",
              "resource", "application", "success", "sso_token_success", "timestamp", "display_label"}  # fmt: skip
    plain = {"".join(filter(str.isalnum, name)).lower() for name in needed}
    assert not plain & (PERSONAL_NAMES | PERSONAL_EVENT_NAMES)


@pytest.mark.parametrize("given", ["", "yes", "0"])
def test_the_switch_takes_true_and_false_only(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SWITCH, given)
    with pytest.raises(ConfigurationError, match=f"land_personal_fields: '{given}' given; allowed: true or false"):
        read_settings()
