"""An organization's snapshots in landing: which was the last, which the last accepted, and whether a new one is.

A snapshot's file of the stream `organizations` is written last and carries the decision about it, which is never
made again. A stream that has not changed since the last snapshot is not stored again: its file is a hard link. (In an
object store, which has none, it is a copy.)
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.streams import (
    ADMINISTRATORS,
    APPLICATION_ASSOCIATIONS,
    APPLICATIONS,
    SYSTEMUSERS,
    USERGROUP_MEMBERS,
    USERGROUPS,
    RowKey,
    Stream,
)
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.files import damage_told, is_readable, read_metadata, set_aside, write_table
from jumpcloud_elt.landing.layout import snapshot_path, snapshot_time
from jumpcloud_elt.landing.manifests import HELD

COMMIT_STREAM = "organizations"
ACCEPTED = "accepted"

# What the drift guard compares, and what people call it.
GUARDED = (
    (SYSTEMUSERS, "users"),
    (ADMINISTRATORS, "administrators"),
    (APPLICATIONS, "applications"),
    (USERGROUPS, "groups"),
    (USERGROUP_MEMBERS, "memberships"),
    (APPLICATION_ASSOCIATIONS, "application bindings"),
)
# In the metadata of administrators: how many of them a provider gave.
FROM_PROVIDER = "from_provider"

# Fewer can go one by one; of users none may be the last.
NOTHING_LEFT_OF = 3


@dataclass(frozen=True)
class Decision:
    """What became of a snapshot: `accepted`, `held`, or `accepted by <run>`, and why where it was held."""

    decision: str
    reason: str | None = None

    @property
    def is_held(self) -> bool:
        return self.decision == HELD


@dataclass(frozen=True)
class Accepted:
    """What a run accepts as missing: anything, or else what it has removed itself.

    `users` are the ids of those whom it has deleted; what led to them is accepted as well. `edges` is how many
    memberships and application bindings it has removed beside, by stream.
    """

    run_id: str
    is_everything: bool = False
    users: frozenset[str] = frozenset()
    edges: Mapping[str, int] = field(default_factory=dict)

    def count(self, stream: Stream, missing: Set[RowKey]) -> int:
        """How many of the `missing` rows of a stream the run has removed."""
        return len([key for key in missing if key[-1] in self.users]) + self.edges.get(stream.name, 0)


def iter_snapshots(landing: Place, organization_id: str) -> Iterator[tuple[datetime, dict[str, object]]]:
    """An organization's whole snapshots, the youngest first: when, and what its last file says of it.

    One whose last file is damaged has not landed; the next build sets it aside.
    """
    folder = landing / COMMIT_STREAM / f"organization_id={organization_id}"
    for path in reversed(folder.find_files(f"snapshot_at=*/{COMMIT_STREAM}.parquet")):
        snapshot_at = snapshot_time(path)
        if snapshot_at is not None:
            try:
                metadata = read_metadata(path)
            except LandingError:
                continue
            yield snapshot_at, metadata


def last_snapshot_at(landing: Place, organization_id: str) -> datetime | None:
    """When an organization's youngest whole snapshot was taken; opens none."""
    folder = landing / COMMIT_STREAM / f"organization_id={organization_id}"
    files = folder.find_files(f"snapshot_at=*/{COMMIT_STREAM}.parquet")
    return max(filter(None, map(snapshot_time, files)), default=None)


def decide(
    settings: Settings, organization_id: str, listed: Mapping[str, pa.Table], accepted: Accepted | None
) -> Decision:
    """Hold a snapshot of which too much is missing that the last accepted one has, unless that is `accepted`.

    `listed` are the streams that have been read; one that has not is not compared. Each is compared with the last
    accepted snapshot that has it.
    """
    before = last_accepted(settings.landing, organization_id, [stream for stream, _ in GUARDED])
    found, is_own = [], accepted is not None
    for stream, name in GUARDED:
        if stream.name not in listed or stream.name not in before:
            continue
        try:
            known, missing = _compare(before[stream.name][1], listed[stream.name], stream)
        except LandingError:
            set_aside(before[stream.name][1])
            return decide(settings, organization_id, listed, accepted)
        if not _is_too_much(settings, stream, len(known), len(missing)):
            continue
        found.append(
            f"{len(missing)} of {len(known)} {name} ({len(missing) / len(known):.0%}) are missing "
            f"({listed[stream.name].num_rows} listed now)"
        )
        own = accepted.count(stream, missing) if accepted else 0
        is_own &= not _is_too_much(settings, stream, len(known), len(missing), own)
    if not found:
        return Decision(ACCEPTED)
    if accepted and (accepted.is_everything or is_own):
        return Decision(f"accepted by {accepted.run_id}")
    return Decision(
        HELD,
        f"{'; '.join(found)}. Allowed: {settings.drift_share:.0%}, or {settings.drift_minimum}, as long as something "
        "is left. The last accepted snapshot stays; to accept what is missing run jumpcloud_directory with "
        f'{{"accept_drop": ["{organization_id}"]}}.',
    )


def last_with(landing: Place, organization_id: str, stream: Stream) -> Place | None:
    """The file of a stream in the youngest snapshot that has it, held or not."""
    for snapshot_at, _ in iter_snapshots(landing, organization_id):
        path = snapshot_path(landing, stream.name, organization_id, snapshot_at)
        if is_readable(path):
            return path
    return None


def last_accepted(landing: Place, organization_id: str, streams: Sequence[Stream]) -> dict[str, tuple[datetime, Place]]:
    """When the last accepted snapshot that has a stream was taken, and the stream's file there; by stream."""
    found: dict[str, tuple[datetime, Place]] = {}
    for snapshot_at, metadata in iter_snapshots(landing, organization_id):
        if len(found) == len(streams):
            break
        if metadata.get("decision") == HELD:
            continue
        for stream in streams:
            path = snapshot_path(landing, stream.name, organization_id, snapshot_at)
            if stream.name not in found and is_readable(path):
                found[stream.name] = snapshot_at, path
    return found


def _compare(before: Place, table: pa.Table, stream: Stream) -> tuple[set[RowKey], set[RowKey]]:
    """The keys that a stream had before, and those of them that it no longer has."""
    with damage_told(before), before.open_parquet() as file:
        known = _keys(file.read(list(stream.keys)), stream)
    # Rows that have not changed are stored once.
    is_same = read_metadata(before).get("fingerprint") == fingerprint_of(table)
    return known, set() if is_same else known - _keys(table, stream)


def _is_too_much(settings: Settings, stream: Stream, known: int, missing: int, own: int = 0) -> bool:
    """Whether more of a stream is missing than is allowed, beside what the run has removed of its `own`."""
    lost = missing - own
    is_nothing_left = missing == known >= (1 if stream is SYSTEMUSERS else NOTHING_LEFT_OF)
    return lost > 0 and (is_nothing_left or (lost > settings.drift_minimum and lost > known * settings.drift_share))


def _keys(table: pa.Table, stream: Stream) -> set[RowKey]:
    return set(zip(*(table[key].to_pylist() for key in stream.keys), strict=True))


def write_stream(path: Place, table: pa.Table, metadata: dict[str, object], previous: Place | None) -> None:
    """Write one stream of a snapshot; where `previous` holds the same rows, link to it instead."""
    fingerprint = fingerprint_of(table)
    before = read_metadata(previous) if previous is not None else {}
    if (
        previous is not None
        and before.get("fingerprint") == fingerprint
        and before.get(FROM_PROVIDER) == metadata.get(FROM_PROVIDER)
        and _holds(previous, fingerprint)
    ):
        # A file system without hard links gets a whole file.
        with contextlib.suppress(OSError):
            path.create_hard_link_to(previous)
            return
    write_table(path, table, {**metadata, "fingerprint": fingerprint})


def _holds(path: Place, fingerprint: str) -> bool:
    """Whether a file's rows are those that it says; one whose rows cannot be read is set aside."""
    try:
        with damage_told(path), path.open_parquet() as file:
            return fingerprint_of(file.read()) == fingerprint
    except LandingError:
        set_aside(path)
        return False


def fingerprint_of(table: pa.Table) -> str:
    """A digest of the rows, but for lineage: equal for equal rows, in whatever order they were listed."""
    digest = hashlib.blake2b(digest_size=16)
    for name in table.column_names:
        if name.startswith("_"):
            continue
        for value in table[name].to_pylist():
            digest.update(f"{len(value)}:{value}".encode())
    return digest.hexdigest()
