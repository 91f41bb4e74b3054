"""Of which time it is known what was not used: gaps, services, readings without end, and what is said of idleness."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec
import pytest

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.layout import EVENTS
from jumpcloud_elt.landing.manifests import EXCLUDED, SKIPPED, failure
from jumpcloud_elt.tasks.usage import NOT_READ
from jumpcloud_sandbox.client import Sandbox
from support.evolving import ORGANIZATIONS as EVOLVING_ORGANIZATIONS
from support.evolving import EvolvingWorld, Json
from support.expectations import Snapshot, Unit
from support.landed_units import ORGANIZATIONS, land, login, record
from support.landed_units import organization as listed
from support.pipeline import assert_warehouse_is, query, run_directory, run_warehouse, snapshots_of
from support.worlds import DAY, TODAY, insights_of, organization, serve

FIRST = TODAY - 100 * DAY


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_as_defined_whatever_of_the_time_has_been_read(
    seed: int, sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = EvolvingWorld(seed)
    snapshots: list[Snapshot] = []
    for step in range(3):
        sandbox.set_world(world.world())
        at = FIRST + step * 40 * DAY + timedelta(hours=6)
        monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda at=at: at)
        assert run_directory(f"directory-{step}", accept_drop=[*EVOLVING_ORGANIZATIONS]) == []
        snapshots += snapshots_of(sandbox, settings)
        if step < 2:
            world.step()
    units = [unit for organization in world.organizations for unit in _units(world, organization)]
    record(settings.landing, "usage", [land(settings.landing, unit) for unit in units])
    assert_warehouse_is(run_warehouse("build"), snapshots, units, insights_of(sandbox))


def _units(world: EvolvingWorld, organization: Json) -> Iterator[Unit]:
    """A hundred days, of which more or less is missing, was read without SSO, to no end, or too late."""
    chance = world.random
    share = chance.choice([0, 0, 0.01, 0.1])  # of days with which something is wrong
    empty_days = chance.choice([0, 3, 40])
    for number in range(100):
        start = FIRST + number * DAY
        what = chance.choice(WRONG) if chance.random() < share else {}
        if what is None:
            continue
        is_empty = number < empty_days or chance.random() < 0.3
        for begin, end in _cut(chance, start):
            events = [] if is_empty else [world.event(organization, start) for _ in range(chance.randrange(1, 6))]
            yield Unit(organization["id"], begin, end, TODAY + timedelta(hours=1), events, **what)


WRONG: list[Json | None] = [
    None,
    {"services": ("sso",)},
    {"services": ("ldap", "directory")},
    {"services": ("all",)},
    {"is_whole": False},
    {"began_before_retention": True},
]


def _cut(chance: random.Random, start: datetime) -> list[tuple[datetime, datetime]]:
    """The day as one unit, as several that touch or overlap, or all but its last second."""
    noon, end = start + timedelta(hours=12), start + DAY
    whole = [(start, end)]
    return chance.choice(
        [whole] * 16 + [[(start, noon), (noon, end)], [(start, noon), (start + timedelta(hours=3), end)]]
        + ([[(start, end - timedelta(seconds=1))]] if chance.random() < 0.1 else [])
    )  # fmt: skip


def test_windows_and_names_at_their_very_bounds_are_as_defined(sandbox: Sandbox, settings: Settings) -> None:
    """Known for 90 days and a microsecond less; used after that; called by a name that two have in another case."""
    exactly, short = organization(0, ORGANIZATIONS[0]), organization(0, ORGANIZATIONS[1])
    for one in (exactly, short):
        one["users"] = [
            {"_id": f"u{number}", "username": name, "email": f"{number}@x.io", "created": created}
            for number, (name, created) in enumerate(
                [("Zoë", None), ("ZOË", None), ("Ana", None), ("ANA", f"{TODAY - DAY:%Y-%m-%d}T00:00:00Z"), ("bo", "")]
            )
        ]
        one["applications"] = [{"_id": "p1", "name": "wiki", "sso": {"type": "SAML"}}]
        one["application_users"] = {"p1": ["u0", "u1", "u2", "u3", "u4"]}
    serve(sandbox, exactly, short)
    assert run_directory("directory") == []
    units = []
    for organization_id, late in ((ORGANIZATIONS[0], timedelta()), (ORGANIZATIONS[1], timedelta(microseconds=1))):
        begin = TODAY - 90 * DAY
        for number in range(90):
            start = begin + number * DAY
            names = {89: ["zoë", "ana"], 88: ["ana", "BO"]}.get(number, [])
            events = [
                login(f"{number} {name}", start + timedelta(hours=1), initiated_by={"username": name}) for name in names
            ] or [login(f"{number}", start + timedelta(hours=1), event_type="group_create")]
            units.append(
                Unit(organization_id, start + (late if number == 0 else timedelta()), start + DAY, TODAY, events)
            )
        after = login("after", TODAY + timedelta(hours=1), initiated_by={"id": "u1"})
        units.append(Unit(organization_id, TODAY, TODAY + DAY, TODAY, [after], ("directory",)))
    record(settings.landing, "usage", [land(settings.landing, unit) for unit in units])
    warehouse = run_warehouse("build")
    assert_warehouse_is(warehouse, snapshots_of(sandbox, settings), units, insights_of(sandbox))
    counts = query(warehouse, "select uses_90d, idle_days from application_users where user_id = 'u0' order by all")
    assert [tuple(row.values()) for row in counts] == [(0, 90), (None, 89)]


@pytest.mark.parametrize(
    ("reading", "state"), [("events", "available"), ("nothing", "unknown"), ("402", "unavailable"), (None, "unknown")]
)
def test_usage_that_is_excluded_keeps_its_state_and_gives_that_as_the_reason(
    reading: str | None, state: str, settings: Settings
) -> None:
    organization_id = ORGANIZATIONS[0]
    start = TODAY - 3 * DAY
    refused = failure(listed(organization_id), EVENTS, "402 not enabled")
    if reading == "402":
        record(settings.landing, "read", [msgspec.structs.replace(refused, outcome=SKIPPED)])
    elif reading is not None:
        events = [login("e1", start)] if reading == "events" else []
        record(
            settings.landing, "read", [land(settings.landing, Unit(organization_id, start, start + DAY, TODAY, events))]
        )
    record(settings.landing, "excluded", [msgspec.structs.replace(refused, outcome=EXCLUDED, reason=NOT_READ)])
    usage = "select usage_state, usage_state_reason from organizations"
    assert query(run_warehouse("excluded"), usage) == [{"usage_state": state, "usage_state_reason": NOT_READ}]
    again = Unit(organization_id, start + DAY, start + 2 * DAY, TODAY, [login("e2", start + DAY)])
    record(settings.landing, "read again", [land(settings.landing, again)])
    assert query(run_warehouse("read"), usage) == [{"usage_state": "available", "usage_state_reason": None}]
