"""What people want to know of a run: which organization has which problem, why, and what to do about it.

Compares the runs' outcomes with what was known before; tells nobody. That is done by `notifications`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from jumpcloud_elt.connections.credential import warn_of_end
from jumpcloud_elt.core.organization import Credential, Organization
from jumpcloud_elt.landing.manifests import (
    EXCLUDED,
    FAILED,
    HELD,
    INCOMPLETE,
    LEAVING,
    OK,
    SKIPPED,
    UNVERIFIED,
    Outcome,
)

STALE, KEY_ENDS, INSIGHTS_LOST, NOTHING_SYNCED = "stale", "key ends", "Directory Insights lost", "nothing synced"
RETENTION = "retention"

# How a problem begins when it is told; its subject comes before.
VERBS = {
    FAILED: "could not be synced",
    HELD: "is held back",
    STALE: "is not synced any longer",
    KEY_ENDS: "needs a new key",
    INSIGHTS_LOST: "has lost Directory Insights",
    NOTHING_SYNCED: "could not be synced at all",
    INCOMPLETE: "is incomplete",
    LEAVING: "is about to be lost",
    RETENTION: "is configured with too long a retention",
}

NOT_SEEN = (
    "No configured connection saw it in the latest directory run; its last good data stays. Give the key's "
    "administrator access to it again, or name it in [jumpcloud_elt] exclude to let go of it."
)

ASK_FOR_INSIGHTS = (
    "Its usage stays as it was last read. Whoever looks after your JumpCloud plan can ask JumpCloud's account manager "
    "about it."
)


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: `kind` is one of VERBS, `subject` the organization's name or the connection."""

    kind: str
    subject: str
    cause: str

    def __str__(self) -> str:
        return f"{self.subject} {VERBS[self.kind]}: {self.cause}"


class Seen(msgspec.Struct, frozen=True):
    """An organization as a run saw it: by which connection."""

    name: str
    connection_id: str


class Known(msgspec.Struct, kw_only=True):
    """What earlier runs of a Dag have seen: organizations by id; `insights`: the keys of those with events."""

    organizations: dict[str, Seen] = msgspec.field(default_factory=dict)
    insights: list[str] = msgspec.field(default_factory=list)


@dataclass(frozen=True)
class View:
    """What one run has seen: problems by key (what they are about), and the keys of what is well.

    Of anything else it says nothing, unless it `is_whole`: then an organization that is not among those that it
    tried is not synced any longer. `with_insights` could be asked for events, `without_insights` could not.
    """

    problems: Mapping[str, Problem]
    well: frozenset[str] = frozenset()
    is_whole: bool = False
    organizations: Mapping[str, Seen] = field(default_factory=dict)
    with_insights: frozenset[str] = frozenset()
    without_insights: Mapping[str, Problem] = field(default_factory=dict)


def of_directory(
    listed: Sequence[Organization], outcomes: Iterable[Outcome], now: datetime, *, is_restricted: bool
) -> View:
    """What a directory run has seen; `now` is naive UTC."""
    wrong: dict[str, Problem] = {}
    # Once something is listed, a run has begun; and the connection of what is listed answers.
    well = {NOTHING_SYNCED}
    for one in outcomes:
        key = _key(one)
        well.add(key)
        if one.outcome in (FAILED, HELD) and one.connection_id:
            wrong[key] = Problem(one.outcome, _capitalised(one.organization_name), one.reason or "")
    for organization in listed:
        if organization["organization_id"]:
            well.add(f"connection {organization['connection_id']}")
        for connection_id, credential in _credentials(organization):
            key = f"key of {connection_id}"
            # An end that JumpCloud does not tell today is the one that it told yesterday.
            well |= {key} if credential["is_end_told"] else set()
            warning = warn_of_end(credential, "key", now)
            if warning is not None:
                wrong[key] = Problem(KEY_ENDS, f"Connection {connection_id}", warning)
    return View(wrong, frozenset(well - set(wrong)), is_whole=not is_restricted, organizations=_seen(listed))


def of_usage(listed: Sequence[Organization], outcomes: Iterable[Outcome]) -> View:
    """What a usage run has seen. That Directory Insights are missing is a problem where they have been there.

    Units are told of one by one: each is incomplete, or about to be lost, once.
    """
    wrong: dict[str, Problem] = {}
    without: dict[str, Problem] = {}
    answered = set()
    well = set()
    for one in outcomes:
        key = _key(one)
        if one.outcome == UNVERIFIED:
            subject = f"Connection {one.connection_id}"
            wrong[f"retention of {one.connection_id}"] = Problem(RETENTION, subject, one.reason or "")
        if one.outcome in (INCOMPLETE, LEAVING):
            subject = f"Usage of {one.organization_name}, {one.interval_start} to {one.interval_end},"
            wrong[_unit_key(one.outcome, one)] = Problem(one.outcome, subject, f"{one.reason}.")
        elif one.interval_start and one.outcome not in (FAILED, SKIPPED, EXCLUDED):
            well |= {_unit_key(INCOMPLETE, one), _unit_key(LEAVING, one)}
        if one.outcome == FAILED and one.connection_id:
            wrong[key] = Problem(FAILED, f"Usage of {one.organization_name}", one.reason or "")
        elif one.outcome == SKIPPED:
            without[key] = Problem(INSIGHTS_LOST, one.organization_name, f"{one.reason}. {ASK_FOR_INSIGHTS}")
        elif one.outcome in (OK, INCOMPLETE, UNVERIFIED):
            answered.add(key)
    return View(
        problems=wrong,
        well=frozenset((answered | well | set(without)) - set(wrong)),
        organizations=_seen(listed),
        with_insights=frozenset(answered - set(without)),
        without_insights=without,
    )


def of_nothing(reason: str) -> View:
    """What a run has seen that had nothing to try."""
    return View({NOTHING_SYNCED: Problem(NOTHING_SYNCED, "JumpCloud", reason)})


def complete(view: View, known: Known, exclude: Sequence[str]) -> tuple[dict[str, Problem], frozenset[str], Known]:
    """The problems of a run, with those that show only beside what was `known`; what is well; what is known now."""
    wrong = dict(view.problems)
    seen = {
        organization_id: one
        for organization_id, one in {**known.organizations, **view.organizations}.items()
        if organization_id not in exclude and one.connection_id not in exclude
    }
    for key, problem in view.problems.items():
        names = sorted(one.name for one in seen.values() if key == f"connection {one.connection_id}")
        if names:
            wrong[key] = msgspec.structs.replace(problem, cause=f"{problem.cause} Affected: {', '.join(names)}.")
    if view.is_whole:
        for organization_id in sorted(seen.keys() - view.organizations.keys()):
            one = seen[organization_id]
            # A connection that failed is told of as such.
            if f"connection {one.connection_id}" not in wrong:
                wrong[f"organization {organization_id}"] = Problem(STALE, one.name, NOT_SEEN)
    insights = set(known.insights) | view.with_insights
    lost = {key: problem for key, problem in view.without_insights.items() if key in insights}
    wrong = {**lost, **wrong}
    return wrong, view.well - set(wrong), Known(organizations=seen, insights=sorted(insights))


def _key(outcome: Outcome) -> str:
    """What an outcome is about. An organization is the same whichever connection syncs it."""
    return (
        f"organization {outcome.organization_id}" if outcome.organization_id else f"connection {outcome.connection_id}"
    )


def _unit_key(kind: str, outcome: Outcome) -> str:
    return f"{kind} {outcome.interval_start} {outcome.interval_end} of {outcome.organization_id}"


def _credentials(organization: Organization) -> Iterator[tuple[str, Credential]]:
    if "credential" in organization:
        yield organization["connection_id"], organization["credential"]
    yield from organization.get("also_seen_by", {}).items()


def _seen(listed: Iterable[Organization]) -> dict[str, Seen]:
    return {
        one["organization_id"]: Seen(one["organization_name"], one["connection_id"])
        for one in listed
        if one["organization_id"] and one["connection_id"]
    }


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
