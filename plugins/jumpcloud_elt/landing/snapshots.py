"""An organization's snapshots in landing: which was the last, which the last accepted, and whether a new one is.

A snapshot's file of the stream `organizations` is written last and carries the decision about it, which is never
made again. A stream that has not changed since the last snapshot is not stored again: its file is a hard link. (In an
object store, which has none, it is a copy.)
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.times import parse_time
from jumpcloud_elt.landing.files import read_metadata, write_table
from jumpcloud_elt.landing.manifests import HELD

COMMIT_STREAM = "organizations"
ACCEPTED = "accepted"


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
    """The drop in users that a run accepts: any, or of `users` (whom it has deleted) beside what is allowed anyway."""

    run_id: str
    users: int | None


def iter_snapshots(landing: Place, organization_id: str) -> Iterator[tuple[datetime, dict[str, object]]]:
    """An organization's whole snapshots, the youngest first: when, and what its last file says of it."""
    folder = landing / COMMIT_STREAM / f"organization_id={organization_id}"
    for path in reversed(folder.find_files(f"snapshot_at=*/{COMMIT_STREAM}.parquet")):
        yield parse_time(path.parent.name.removeprefix("snapshot_at=")), read_metadata(path)


def decide(settings: Settings, organization_id: str, users: int, accepted: Accepted | None) -> Decision:
    """Hold a snapshot whose users have dropped too far since the last accepted one, unless that is `accepted`."""
    for _, metadata in iter_snapshots(settings.landing, organization_id):
        if metadata.get("decision") == HELD:
            continue
        before = metadata.get("users")
        if not isinstance(before, int):
            break
        drop = before - users
        if _is_allowed(settings, drop, before):
            break
        if accepted and (accepted.users is None or _is_allowed(settings, drop - accepted.users, before)):
            return Decision(f"accepted by {accepted.run_id}")
        reason = (
            f"{_users(users)}, down by {drop} ({drop / before:.0%}) from {before}. Allowed: "
            f"{settings.drift_share:.0%}, or {_users(settings.drift_users)}. The last accepted snapshot stays; to "
            f'accept this drop run jumpcloud_directory with {{"accept_drop": ["{organization_id}"]}}.'
        )
        return Decision(HELD, reason)
    return Decision(ACCEPTED)


def _is_allowed(settings: Settings, drop: int, before: int) -> bool:
    return drop <= settings.drift_users or drop <= before * settings.drift_share


def _users(number: int) -> str:
    return "1 user" if number == 1 else f"{number} users"


def write_stream(path: Place, table: pa.Table, metadata: dict[str, object], previous: Place | None) -> None:
    """Write one stream of a snapshot; where `previous` holds the same rows, link to it instead."""
    fingerprint = fingerprint_of(table)
    if previous is not None and previous.exists() and read_metadata(previous).get("fingerprint") == fingerprint:
        # A file system without hard links gets a whole file.
        with contextlib.suppress(OSError):
            path.create_hard_link_to(previous)
            return
    write_table(path, table, {**metadata, "fingerprint": fingerprint})


def fingerprint_of(table: pa.Table) -> str:
    """A digest of the rows, but for lineage: equal for equal rows, in whatever order they were listed."""
    digest = hashlib.blake2b(digest_size=16)
    for name in table.column_names:
        if name.startswith("_"):
            continue
        for value in table[name].to_pylist():
            digest.update(f"{len(value)}:{value}".encode())
    return digest.hexdigest()
