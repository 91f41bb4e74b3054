"""What one running sandbox holds: the world, its event stores, tokens, faults and the request log."""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec

from jumpcloud_sandbox.events import EventStore
from jumpcloud_sandbox.faults import Faults
from jumpcloud_sandbox.synthetic import SyntheticEvents
from jumpcloud_sandbox.timestamps import parse_ns
from jumpcloud_sandbox.world import Json, Organization, ServiceAccount, World, normalise, normalise_organization

MAX_LOG = 200_000  # a benchmark may run for long; the log must not eat the machine


@dataclass
class RequestLog:
    """Who asked what. Holds key labels, never keys."""

    entries: deque[Json] = field(default_factory=lambda: deque(maxlen=MAX_LOG))
    in_flight: int = 0
    max_in_flight: int = 0

    def clear(self) -> None:
        self.entries.clear()
        self.max_in_flight = self.in_flight

    def as_json(self) -> Json:
        counts = Counter(f"{entry['method']} {entry['path']}" for entry in self.entries)
        return {
            "requests": list(self.entries),
            "counts": dict(counts),
            "total": len(self.entries),
            "max_in_flight": self.max_in_flight,
        }


class State:
    """One sandbox. Single-threaded: handlers run in the event loop, one at a time."""

    def __init__(self, world: Json, *, now_ns: int | None = None) -> None:
        complete = normalise(world)
        self._initial = msgspec.json.encode(complete)
        self._now_ns = now_ns
        self.faults = Faults()
        self.log = RequestLog()
        self.latency_ms = 0.0
        self._install(complete)

    # After a reset the initial world is decoded when it is first read: most tests replace it before that.

    @cached_property
    def world(self) -> World:
        world: World = msgspec.json.decode(self._initial)
        return world

    @cached_property
    def organizations(self) -> dict[str, Organization]:
        return {organization["id"]: organization for organization in self.world["organizations"]}

    @cached_property
    def _stores(self) -> dict[str, EventStore | SyntheticEvents]:
        return _event_stores(self.world)

    def now_ns(self) -> int:
        """The sandbox's clock: fixed when it was started with one, else the machine's."""
        return time.time_ns() if self._now_ns is None else self._now_ns

    def has_passed(self, moment: str | None) -> bool:
        """Whether it is later than `moment` (RFC 3339); null never passes."""
        return moment is not None and self.now_ns() >= parse_ns(moment)

    def reset(self) -> None:
        """Back to the initial world; faults, latency, log and tokens are gone."""
        for name in ("world", "organizations", "_stores"):
            self.__dict__.pop(name, None)
        self._tokens.clear()
        self.faults.replace([])
        self.log.clear()
        self.latency_ms = 0.0

    def load(self, world: Json) -> None:
        """Another world. Raises ValueError and changes nothing if it is not one."""
        self._install(normalise(world))

    def _install(self, fresh: World) -> None:
        self._stores = _event_stores(fresh)
        self.world = fresh
        self.organizations = {organization["id"]: organization for organization in fresh["organizations"]}
        self._tokens: dict[str, tuple[ServiceAccount, float]] = {}

    def put_organization(self, row: Json) -> None:
        """Replace one organization, or add it (no key sees it then)."""
        organization = normalise_organization(row)
        store = _event_store(organization)
        rest = [other for other in self.world["organizations"] if other["id"] != organization["id"]]
        position = next(
            (i for i, other in enumerate(self.world["organizations"]) if other["id"] == organization["id"]),
            len(rest),
        )
        self.world["organizations"] = [*rest[:position], organization, *rest[position:]]
        self.organizations[organization["id"]] = organization
        self._stores[organization["id"]] = store

    def add_events(self, organization_id: str, events: list[Json]) -> None:
        """Append events, late or early. Raises ValueError where they cannot be taken in."""
        store = self._stores[organization_id]
        if isinstance(store, SyntheticEvents):
            raise ValueError("synthetic events cannot be added to")
        for event in events:
            parse_ns(event.get("timestamp"))
        store.extend(events)
        self.organizations[organization_id]["events"].extend(events)

    def store(self, organization_id: str) -> EventStore | SyntheticEvents:
        return self._stores[organization_id]

    def issue_token(self, account: ServiceAccount) -> str:
        token = secrets.token_urlsafe(32)
        self._tokens[token] = (account, time.monotonic() + account["token_seconds"])
        return token

    def token_owner(self, token: str) -> ServiceAccount | None:
        """The service account of a token that is known and not expired."""
        account, expires = self._tokens.get(token, (None, 0.0))
        return account if time.monotonic() < expires else None

    def expire_tokens(self) -> None:
        """End every token at once, as if its time had passed."""
        self._tokens.clear()


def _event_stores(world: World) -> dict[str, EventStore | SyntheticEvents]:
    return {organization["id"]: _event_store(organization) for organization in world["organizations"]}


def _event_store(organization: Organization) -> EventStore | SyntheticEvents:
    if organization["synthetic_events"] is not None:
        return SyntheticEvents(organization)
    return EventStore(organization["id"], organization["events"])


def find(rows: list[Json], identifier: str) -> Any:
    """The row with this id, or None."""
    return next((row for row in rows if row["id"] == identifier), None)
