"""Millions of events that are held nowhere: event number i is a function of i.

For benchmarks. They pass for `user_login_attempt` and `sso_auth` events spread evenly over a range.
Searching inside them is not offered: it would have to render them all. With `is_rendered` they are, once, into a
file: then a page costs the copying of its bytes, and it is not the sandbox that is measured.
"""

from __future__ import annotations

import json
import mmap
import tempfile
from array import array
from collections.abc import Callable, Sequence

from jumpcloud_sandbox.errors import not_offered
from jumpcloud_sandbox.events import Position, Selection
from jumpcloud_sandbox.generate_events import EventMaker
from jumpcloud_sandbox.payloads import Maker
from jumpcloud_sandbox.timestamps import MILLISECOND, SECOND, format_ns, parse_ns
from jumpcloud_sandbox.world import Json, Organization

# What event number i is, by i modulo the length of this: service, event type, success.
PATTERN = (
    ("directory", "user_login_attempt", True),
    ("sso", "sso_auth", True),
    ("sso", "sso_auth", True),
    ("sso", "sso_auth", False),
    ("directory", "user_login_attempt", False),
    ("sso", "sso_auth", True),
    ("sso", "sso_auth", True),
    ("directory", "user_login_attempt", True),
    ("sso", "sso_auth", True),
    ("sso", "sso_auth", True),
)
_VARIANTS = 24  # places, browsers and addresses of each kind
_SPREAD = 2_654_435_761  # Knuth's multiplicative hash: neighbours get different users


class SyntheticEvents:
    """The events of one organization whose world entry has `synthetic_events`."""

    def __init__(self, organization: Organization) -> None:
        plan = organization["synthetic_events"]
        assert plan is not None
        self.count = int(plan["count"])
        self._start = parse_ns(plan["start"])
        self._span = parse_ns(plan["end"]) - self._start
        self._users = _ids(plan.get("users"), [row["id"] for row in organization["users"]], "a")
        self._applications = _ids(plan.get("applications"), [row["id"] for row in organization["applications"]], "b")
        size = int(plan.get("bytes_per_event", 1000))
        make = EventMaker(Maker(organization["id"], self._start), organization)
        self._templates = [[_template(make, size, *kind) for _ in range(_VARIANTS)] for kind in PATTERN]
        self._days: dict[int, bytes] = {}
        self.rendered = _Rendered(self) if plan.get("is_rendered") else None

    def select(self, services: frozenset[str]) -> Selection:
        """The events of these services."""
        return SyntheticSelection(self, [i for i, kind in enumerate(PATTERN) if kind[0] in services])

    def at(self, number: int) -> int:
        """When event `number` happened, in nanoseconds since the epoch."""
        return self._start + self._span * number // self.count

    def render(self, number: int) -> bytes:
        """Event `number` as JSON."""
        seconds, rest = divmod(self.at(number), SECOND)
        days, second = divmod(seconds, 86400)
        day = self._days.get(days)
        if day is None:
            day = self._days[days] = format_ns(seconds * SECOND)[:11].encode()
        spread = number * _SPREAD >> 7
        user = self._users[spread % len(self._users)]
        minute = second // 60
        moment = b"%b%02d:%02d:%02d.%03dZ" % (
            day,
            minute // 60,
            minute % 60,
            second % 60,
            rest // MILLISECOND,
        )
        template = self._templates[number % len(PATTERN)][(spread >> 5) % _VARIANTS]
        return template % {
            b"user": user,
            b"application": self._applications[(spread >> 9) % len(self._applications)],
            b"id": b"%08x%016x" % (seconds, number),
            b"moment": moment,
        }


class SyntheticSelection:
    """The events whose number has one of some remainders; the n-th of them is found by arithmetic."""

    def __init__(self, events: SyntheticEvents, remainders: list[int]) -> None:
        self._events = events
        self._remainders = remainders
        whole, part = divmod(events.count, len(PATTERN))
        self._length = whole * len(remainders) + sum(1 for remainder in remainders if remainder < part)

    def __len__(self) -> int:
        return self._length

    def _number(self, index: int) -> int:
        whole, part = divmod(index, len(self._remainders))
        return whole * len(PATTERN) + self._remainders[part]

    def key(self, index: int) -> Position:
        number = self._number(index)
        return self._events.at(number) // MILLISECOND, f"{number:020d}"

    def rows(self, first: int, last: int) -> Sequence[bytes]:
        return [self._events.render(self._number(index)) for index in range(first, last)]

    def joined(self, first: int, last: int) -> bytes:
        """The rows of a slice with commas between them."""
        if self._events.rendered is not None and len(self._remainders) == len(PATTERN):
            return self._events.rendered.joined(first, last)
        return b",".join(self.rows(first, last))

    def count(self, first: int, last: int) -> int:
        """How many events a slice holds; none is there twice."""
        return last - first

    def where(self, test: Callable[[Json], bool], first: int, last: int) -> Selection:
        raise not_offered("searching in synthetic events")


class _Rendered:
    """All events in a file without a name, a comma after each."""

    def __init__(self, events: SyntheticEvents) -> None:
        self._ends = array("q", [0])
        with tempfile.TemporaryFile() as file:
            for number in range(events.count):
                self._ends.append(self._ends[-1] + file.write(events.render(number) + b","))
            file.flush()
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def joined(self, first: int, last: int) -> bytes:
        """Events `first` up to `last` with commas between them."""
        return self._bytes[self._ends[first] : self._ends[last] - 1] if first < last else b""


def _ids(wanted: list[str] | int | None, present: list[str], prefix: str) -> list[bytes]:
    """The ids to draw from: those given, or the organization's own, made up to a number asked for."""
    if isinstance(wanted, int):
        invented = [f"{prefix * 8}{number:016x}" for number in range(wanted - len(present))]
        ids = [*present, *invented][:wanted]
    else:
        ids = wanted if wanted is not None else present
    return [identifier.encode() for identifier in ids or [prefix * 24]]


def _template(make: EventMaker, size: int, service: str, event_type: str, success: bool) -> bytes:
    """JSON with named places for bytes: user, application, id, moment. Padded to `size` where it is shorter."""
    user: Json = {"id": "%(user)b", "username": "u-%(user)b", "email": "u-%(user)b@example.com"}
    application: Json = {
        "id": "%(application)b",
        "name": "synthetic",
        "displayLabel": "Synthetic",
        "sso": {"type": "saml"},
        "ssoUrl": "https://sso.jumpcloud.com/saml2/synthetic",
    }
    if event_type == "sso_auth":
        event = make.sso(user, application, 0, error="" if success else "not authorized")
        # Not every event has these; without them it is a kilobyte.
        event["auth_context"] = {"auth_methods": {}}
        del event["server_timestamp"], event["timestamp_source"]
    else:
        event = make.user_login(user, 0, success=success)
    event |= {"id": "%(id)b", "timestamp": "%(moment)b"}
    sample = {b"user": b"u" * 24, b"application": b"a" * 24, b"id": b"i" * 24, b"moment": b"m" * 24}
    padding = size - len(_encode(event) % sample) - len(',"padding":""')
    if padding > 0:
        event["padding"] = f"{make.random.getrandbits(4 * padding):0{padding}x}"
    return _encode(event)


def _encode(event: Json) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()
