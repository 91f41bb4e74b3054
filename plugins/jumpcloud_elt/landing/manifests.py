"""What happened in a Dag run: one manifest per run, written last.

A manifest is a Parquet file of `Outcome` rows: which unit or snapshot, how many rows, what the API counted, how it
ended and why. Warehouse, `sync_log` and coverage stand on manifests. Tasks that run beside each other leave their
outcomes as parts; the run's last task gathers them. Each leaves its failure when it begins, so that one that is
killed is told from one that was not run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.storage import Place, read_if_there
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.files import damage_told, set_aside, write_table
from jumpcloud_elt.landing.layout import RUNS, is_run_file, run_file_name

OK = "ok"
INCOMPLETE = "incomplete"  # landed, but no reading has agreed with JumpCloud's own count: it covers nothing
UNVERIFIED = "unverified"  # landed empty: JumpCloud answers 402 for a range that old
LANDED = (OK, INCOMPLETE, UNVERIFIED)
LEAVING = "leaving"  # not read, or incomplete, and soon older than JumpCloud keeps events
SKIPPED = "skipped"  # Directory Insights is not available; an optional stream could not or may not be read
EXCLUDED = "excluded"  # usage is not read on purpose
NOT_ASKED = "not_asked"  # older than JumpCloud keeps events
HELD = "held"  # landed, and left out of the marts by the drift guard
FAILED = "failed"
DAMAGED = "damaged"  # landed, and found unreadable or missing by a build
# The step of a usage run after each organization's own interval.
CATCH_UP = "-catch-up"
KILLED = "the task ended without an outcome: it was killed, or its worker was lost"
_TIME = pa.timestamp("us")

MANIFEST_SCHEMA = pa.schema(
    [
        ("dag_id", pa.string()),
        ("run_id", pa.string()),
        ("is_restricted", pa.bool_()),
        ("connection_id", pa.string()),
        ("organization_id", pa.string()),
        ("organization_name", pa.string()),
        ("stream", pa.string()),
        ("snapshot_at", _TIME),
        ("interval_start", _TIME),
        ("interval_end", _TIME),
        ("path", pa.string()),
        ("rows", pa.int64()),
        ("received", pa.int64()),
        ("api_total", pa.int64()),
        ("inside", pa.int64()),
        ("strays", pa.int64()),
        ("kept", pa.int64()),
        ("added", pa.int64()),
        ("changed", pa.int64()),
        ("requests", pa.int64()),
        ("seconds", pa.float64()),
        ("outcome", pa.string()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("recorded_at", _TIME),
        ("extracted_at", _TIME),
    ]
)


class Outcome(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How one stream of one organization ended in one run.

    `rows` landed; `received` distinct ids; `api_total` the API's own count for the same; `inside` events dated
    in the interval; `strays` events dated outside of it; of a unit that was read again `kept` events that had landed
    and were not received, `added` and `changed` ones; `path` relative to the landing folder; `decision` what
    the drift guard said of a snapshot; `extracted_at` the extraction of the unit that landed. Of events that failed,
    the interval is all that the run was to land: what of it has landed nobody says, so it is looked at.
    """

    connection_id: str
    organization_id: str | None
    organization_name: str
    stream: str
    outcome: str
    decision: str | None = None
    reason: str | None = None
    snapshot_at: datetime | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None
    path: str | None = None
    rows: int | None = None
    received: int | None = None
    api_total: int | None = None
    inside: int | None = None
    strays: int | None = None
    kept: int | None = None
    added: int | None = None
    changed: int | None = None
    requests: int | None = None
    seconds: float | None = None
    extracted_at: datetime | None = None


def list_manifests(landing: Place) -> dict[str, str]:
    """Every manifest, as its path below landing, and what tells one version of it from the next; opens none."""
    found = (landing / RUNS).find_versions("*/*.parquet")
    return {f"{RUNS}/{name}": version for name, version in found.items() if is_run_file(name.rpartition("/")[2])}


class RunManifest:
    """One Dag run's place in landing; of a Dag with several tasks that sync by themselves, one such task's."""

    def __init__(self, landing: Place, dag_id: str, run_id: str, task_id: str = "") -> None:
        self.landing = landing
        self.dag_id = dag_id
        self.run_id = run_id
        self.was_damaged = False
        folder = landing / RUNS / dag_id
        name = run_file_name(f"{run_id} {task_id}".rstrip())
        self.manifest = folder / f"{name}.parquet"
        self._parts = folder / f".{name}.parts"

    def begin(
        self, organization: Organization, stream: str, interval: Interval | None = None, *, step: str = ""
    ) -> None:
        """Leave word that one organization's task has begun; unless it adds its outcomes, it was killed."""
        self.add(organization, [failure(organization, stream, KILLED, interval)], step=step)

    def add(self, organization: Organization, outcomes: Sequence[Outcome], *, step: str = "") -> None:
        """Leave one organization's outcomes for `write_manifest`, in place of those of an earlier try.

        What earlier tries have landed, and this one has not landed anew, stays. `step` tells the tasks apart of a run
        that has several for an organization.
        """
        part = self._part(organization, step)
        anew = {outcome.path for outcome in outcomes if outcome.outcome in LANDED}
        landed = [one for one in _read_part(part) if one.outcome in LANDED and one.path not in anew]
        with part.temporary() as temporary:
            temporary.write_bytes(msgspec.json.encode([*landed, *outcomes]))
            part.put(temporary)

    def write_manifest(
        self,
        organizations: Iterable[Organization],
        stream: str,
        *,
        is_restricted: bool,
        interval: Interval | None = None,
    ) -> list[Outcome]:
        """Gather the parts into the manifest and return its outcomes.

        An organization whose task was killed failed, and one that was skipped or left out was so, over the whole
        `interval` of a run of events. When a run is run again, the manifest keeps what it had of organizations that
        were not, as of when they were, and of everything landed that was not landed anew.
        """
        recorded = {
            "dag_id": self.dag_id,
            "run_id": self.run_id,
            "is_restricted": is_restricted,
            "recorded_at": utc_now(),
        }
        before = self._rows_of_manifest()
        earlier: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        for organization in organizations:
            known = before.pop((organization["connection_id"], organization["organization_id"]), [])
            new = self.outcomes_of(organization)
            last = self._last(known)
            if last and not new:
                rows += last
                earlier += [row for row in known if row not in last]
                continue
            new = new or [failure(organization, stream, KILLED, interval)]
            for one in new:
                if interval and one.outcome in (SKIPPED, EXCLUDED):
                    one.interval_start, one.interval_end = interval
            landed = {outcome.path for outcome in new if outcome.outcome in LANDED}
            earlier += [row for row in known if row["outcome"] in LANDED and row["path"] not in landed]
            rows += [{**msgspec.structs.asdict(outcome), **recorded} for outcome in new]
        earlier += [row for known in before.values() for row in known if row["outcome"] in LANDED]
        write_table(self.manifest, pa.Table.from_pylist(earlier + rows, schema=MANIFEST_SCHEMA))
        self._parts.remove_folder()
        self.manifest.parent.remove_temporaries()
        return [_as_outcome(row) for row in rows]

    def outcomes_of(self, organization: Organization) -> list[Outcome]:
        """What the tasks of one organization have left so far."""
        return [outcome for step in ("", CATCH_UP) for outcome in _read_part(self._part(organization, step))]

    def is_complete(self) -> bool:
        """Whether the manifest has all that the run's tasks have left."""
        return not self._parts.find_files("*.json")

    def append_outcomes(self, outcomes: Iterable[Outcome], recorded_at: datetime | None = None) -> None:
        """Add outcomes of this run to the manifest, as of now or `recorded_at`."""
        recorded = {"dag_id": self.dag_id, "run_id": self.run_id, "is_restricted": True}
        recorded |= {"recorded_at": recorded_at or utc_now()}
        rows = [{**msgspec.structs.asdict(outcome), **recorded} for outcome in outcomes]
        self.append(pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA))

    def append(self, rows: pa.Table) -> None:
        """Add rows of other runs to the manifest."""
        write_table(self.manifest, pa.concat_tables([self._read(), rows]))

    def problems(self) -> list[Outcome]:
        """What the run has recorded of damaged files and of organizations that failed, each once."""
        rows = [row for known in self._rows_of_manifest().values() for row in known]
        found = {(row["organization_id"], row["reason"]): row for row in rows if row["outcome"] in (DAMAGED, FAILED)}
        return [_as_outcome(row) for row in found.values()]

    def read_manifest(self) -> list[Outcome]:
        """How this run ended for each organization, as it was last recorded; nothing where it was not."""
        return [_as_outcome(row) for known in self._rows_of_manifest().values() for row in self._last(known)]

    def _part(self, organization: Organization, step: str = "") -> Place:
        key = f"{organization['connection_id']}/{organization['organization_id']}"
        return self._parts / f"{run_file_name(key)}{step}.json"

    def _rows_of_manifest(self) -> dict[tuple[str, str | None], list[dict[str, Any]]]:
        """What the run has recorded before, by connection and organization."""
        before: dict[tuple[str, str | None], list[dict[str, Any]]] = {}
        for row in self._read().to_pylist():
            before.setdefault((row["connection_id"], row["organization_id"]), []).append(row)
        return before

    def _read(self) -> pa.Table:
        """The manifest; no rows where there is none, or a damaged one, which is set aside."""
        try:
            with damage_told(self.manifest), self.manifest.open_parquet() as file:
                return file.read()
        except FileNotFoundError:
            pass
        except LandingError:
            set_aside(self.manifest)
            self.was_damaged = True
        return MANIFEST_SCHEMA.empty_table()

    def _last(self, known: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Of an organization's rows those of this run that were recorded last."""
        own = [row for row in known if row["run_id"] == self.run_id]
        latest = max((row["recorded_at"] for row in own), default=None)
        return [row for row in own if row["recorded_at"] == latest]


def _read_part(part: Place) -> list[Outcome]:
    content = read_if_there(part)
    return [] if content is None else msgspec.json.decode(content, type=list[Outcome])


def _as_outcome(row: dict[str, Any]) -> Outcome:
    return Outcome(**{name: row[name] for name in Outcome.__struct_fields__})


def failure(organization: Organization, stream: str, reason: str, interval: Interval | None = None) -> Outcome:
    """The outcome of an organization that failed before anything landed; of events, within which `interval`."""
    start, end = interval or (None, None)
    return Outcome(
        connection_id=organization["connection_id"],
        organization_id=organization["organization_id"],
        organization_name=organization["organization_name"],
        stream=stream,
        outcome=FAILED,
        reason=reason,
        interval_start=start,
        interval_end=end,
    )
