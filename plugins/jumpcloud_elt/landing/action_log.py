"""The record of what was done to users: landed row by row, appended to, never rewritten.

    landing/user_actions/organization_id=<id>/<run>_<random>.parquet

Before a call a row says that it is about to be made, afterwards another one how it ended: a task that is killed in
between leaves the first, and the warehouse shows it as `unknown`. Does not act, and does not decide.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
import pyarrow as pa

from jumpcloud_elt.core.redaction import PERSONAL_NAMES, SECRET_NAMES, encode_payload
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.landing.files import write_table
from jumpcloud_elt.landing.layout import run_file_name

log = logging.getLogger(__name__)

USER_ACTIONS = "user_actions"
_TIME = pa.timestamp("us")

ACTION_SCHEMA = pa.schema(
    [
        ("action_id", pa.string()),
        ("requested_at", _TIME),
        ("requested_by", pa.string()),
        ("approved_by", pa.string()),
        ("dag_id", pa.string()),
        ("run_id", pa.string()),
        ("connection_id", pa.string()),
        ("action", pa.string()),
        ("target", pa.string()),
        ("username", pa.string()),
        ("email", pa.string()),
        ("is_dry_run", pa.bool_()),
        ("outcome", pa.string()),
        ("is_unfinished", pa.bool_()),
        ("message", pa.string()),
        ("request", pa.string()),
        ("recorded_at", _TIME),
    ]
)


class ActionOutcome(StrEnum):
    """How an action on one target ended, in the order in which reports tell it; two are steps on the way."""

    REFUSED = "refused"  # not called: request, right, permission, approval or ambiguity forbade it
    FAILED = "failed"  # called, and JumpCloud said no
    UNKNOWN = "unknown"  # called, and no answer came
    SKIPPED = "skipped"  # not called: the run stopped earlier, or the filters no longer hold
    STARTED = "started"  # a step: the call is about to be made
    ASKED = "asked"  # a step: resolved, perhaps waiting for an approval; nothing has been called
    DONE = "done"
    UNCHANGED = "unchanged"  # nothing had to be called, or JumpCloud said so
    PLANNED = "planned"  # dry run: what would be called


_FINISHED = (ActionOutcome.PLANNED, ActionOutcome.DONE, ActionOutcome.UNCHANGED)
# What older files say.
_OLDER_NAMES = {"already_so": "unchanged", "left_out": "skipped", "not_done": "skipped"}


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of one action: what all of its rows have in common. Small enough for XCom."""

    action_id: str
    requested_at: datetime
    requested_by: str
    dag_id: str
    run_id: str
    connection_id: str
    organization_id: str
    action: str
    is_dry_run: bool
    approved_by: str | None = None

    def again(self, try_number: int) -> Attempt:
        """The attempt of a later try of the task: it has rows of its own."""
        if try_number <= 1:
            return self
        return msgspec.structs.replace(self, action_id=f"{self.action_id}-{try_number}")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to one target, or is about to. `target` is a user id; of a user to be created, the user name.

    `is_unfinished` is given where `outcome` does not decide it: see the function of that name.
    """

    target: str | None
    outcome: ActionOutcome
    message: str
    username: str | None = None
    email: str | None = None
    request: Mapping[str, Any] | None = None
    is_unfinished: bool | None = None


def is_unfinished(row: Mapping[str, Any]) -> bool:
    """Whether something is left to be done, or to be looked at.

    What is `skipped` or `refused` leaves that, unless the row says that it does not: nobody wants it done any more.
    """
    said: bool | None = row["is_unfinished"]
    return row["outcome"] not in _FINISHED if said is None else said


def new_action_id() -> str:
    """Distinct for every attempt, and in the order of time."""
    return f"{utc_now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"


def record(settings: Settings, attempt: Attempt, entries: Sequence[Entry]) -> None:
    """Append rows, whole or not at all: when this returns, they are on disk.

    Of requests, secrets are not kept, nor personal fields that no table needs where these are not to be landed.
    """
    if not entries:
        return
    common = msgspec.structs.asdict(attempt)
    organization_id = common.pop("organization_id")
    recorded_at = utc_now()
    rows = []
    for entry in entries:
        request = None if entry.request is None else request_to_keep(settings, entry.request)
        row = {**common, **msgspec.structs.asdict(entry), "request": request, "recorded_at": recorded_at}
        rows.append({**row, "is_unfinished": is_unfinished(row)})
        log.info("%s %s: %s: %s", attempt.action, entry.target or "", entry.outcome, entry.message)
    name = f"{run_file_name(attempt.run_id)}_{uuid.uuid4().hex}.parquet"
    write_table(_folder(settings.landing, organization_id) / name, pa.Table.from_pylist(rows, schema=ACTION_SCHEMA))


def request_to_keep(settings: Settings, request: Mapping[str, Any]) -> str:
    """A call as JSON text, without what is not to be kept: for the record, and for logs."""
    names = SECRET_NAMES if settings.land_personal_fields else SECRET_NAMES | PERSONAL_NAMES
    return encode_payload(request, names)


def read_run(landing: Place, organization_id: str, run_id: str) -> list[dict[str, Any]]:
    """Every row that a run has recorded, the oldest first."""
    of_run = _folder(landing, organization_id).find_files(f"{run_file_name(run_id)}_*.parquet")
    return _sorted(row for path in of_run for row in _read(path) if row["run_id"] == run_id)


def known_users(landing: Place, organization_id: str) -> dict[str, set[str]]:
    """The ids of everybody whom actions have been about, by id, user name and e-mail of then, in lower case."""
    found: dict[str, set[str]] = {}
    for path in _folder(landing, organization_id).find_files("*.parquet"):
        for row in _read(path):
            # A refusal has the target as it was given; a new user has no id yet.
            if row["outcome"] != ActionOutcome.REFUSED and row["action"] != "create":
                for name in (row["target"], row["username"], row["email"]):
                    if name:
                        found.setdefault(name.lower(), set()).add(row["target"])
    return found


def latest(rows: Iterable[Mapping[str, Any]], *, of_each_attempt: bool = False) -> dict[Any, Mapping[str, Any]]:
    """By target, the last row: how it ended, or the step it got to. By attempt and target, where that is asked for."""
    found: dict[Any, Mapping[str, Any]] = {}
    for row in _sorted(rows):
        found[(row["action_id"], row["target"]) if of_each_attempt else row["target"]] = row
    return found


def tries_of(rows: Iterable[Mapping[str, Any]], action_id: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows of a plan, each with the number of the try that recorded it; the plan's own are the first's."""
    for row in rows:
        number = row["action_id"].removeprefix(action_id)
        if number == "" or (number != row["action_id"] and number[1:].isdigit()):
            yield int(number[1:] or 1), row


def latest_of_plan(rows: Iterable[Mapping[str, Any]], attempt: Attempt) -> dict[str | None, Mapping[str, Any]]:
    """By target, the last row of the last try that came to it."""
    found: dict[str | None, tuple[int, Mapping[str, Any]]] = {}
    for number, row in tries_of(_sorted(rows), attempt.action_id):
        if row["target"] not in found or found[row["target"]][0] <= number:
            found[row["target"]] = number, row
    return {target: row for target, (_, row) in found.items()}


def attempt_of(row: Mapping[str, Any], organization_id: str) -> Attempt:
    """The attempt that recorded a row."""
    names = [name for name in Attempt.__struct_fields__ if name != "organization_id"]
    return Attempt(organization_id=organization_id, **{name: row[name] for name in names})


def action_files(landing: Place) -> list[Place]:
    """Every file of the record."""
    return (landing / USER_ACTIONS).find_files("organization_id=*/[!.]*-????????????_*.parquet")


def _sorted(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    # Steps of one moment in their order.
    order = {ActionOutcome.ASKED: 0, ActionOutcome.STARTED: 1}
    return sorted(map(dict, rows), key=lambda row: (row["recorded_at"], order.get(row["outcome"], 2)))


def _folder(landing: Place, organization_id: str) -> Place:
    return landing / USER_ACTIONS / f"organization_id={organization_id}"


def _read(path: Place) -> list[dict[str, Any]]:
    return [_renamed(row) for row in path.open_parquet().read().to_pylist()]


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of an older file as it would be recorded now, as far as it tells; `stg_user_actions` does the same."""
    older, message = row["outcome"], str(row["message"])
    row["outcome"] = _OLDER_NAMES.get(older, older)
    row.setdefault("is_unfinished", False if older == "left_out" else None)
    if older == "not_done" and message.startswith(("rejected by ", "nobody approved within ")):
        row |= {"outcome": "refused", "is_unfinished": not message.startswith("rejected by ")}
    return row
