"""A unit that is read again: what has landed and what was received, by event id, as one file.

Of the rows only ids and times are in memory, a few dozen bytes each, and of the payloads a hash; the rows themselves
pass through page by page.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.landing.files import check_rows, is_damage
from jumpcloud_elt.landing.manifests import INCOMPLETE, OK
from jumpcloud_elt.landing.units import (
    TIME,
    UNIT_SCHEMA,
    UnitMetadata,
    add_metadata,
    is_between,
    open_writer,
    read_unit_metadata,
)

BATCH_ROWS = 10_000


@dataclass(frozen=True)
class Union:
    """What a union holds, and how many events of it landed before and were not received, are new, have changed."""

    metadata: UnitMetadata
    kept: int
    added: int
    changed: int


def write_union(target: Path, landed: Place, received: Path, interval: tuple[datetime, datetime]) -> Union:
    """Write to `target` the events of `landed` and of `received`, one reading of the same unit.

    Of an event of both the row that was extracted later stands. Raises LandingError where `landed` is damaged.
    """
    before, after = read_unit_metadata(landed), read_unit_metadata(FolderPath(received))
    try:
        with landed.open_parquet() as old, pq.ParquetFile(received) as new:
            return _write(target, (old, before), (new, after), interval)
    except Exception as error:
        if is_damage(error):
            # Raises unless it is another file that cannot be read or written.
            check_rows(landed)
        raise


def _write(
    target: Path,
    landed: tuple[pq.ParquetFile, UnitMetadata],
    received: tuple[pq.ParquetFile, UnitMetadata],
    interval: tuple[datetime, datetime],
) -> Union:
    (old, before), (new, after) = landed, received
    old_rows, new_rows = (file.read(["event_id", "event_at", "_extracted_at"]) for file in (old, new))
    old_ids, new_ids = old_rows["event_id"].combine_chunks(), new_rows["event_id"].combine_chunks()
    where = pc.index_in(old_ids, value_set=new_ids)
    is_again = pc.is_valid(where)
    # Another run may have begun later and landed before.
    stays = pc.and_(is_again, pc.greater(old_rows["_extracted_at"], pa.scalar(after.extracted_at, TIME)))
    stays = pc.fill_null(stays, False).combine_chunks()
    keep_old = pc.or_(pc.invert(is_again), stays)
    keep_new = pc.invert(pc.is_in(new_ids, value_set=old_ids.filter(stays)))
    changed = 0
    if pc.any(is_again).as_py():
        is_replaced = pc.and_(is_again, pc.invert(stays)).to_numpy(zero_copy_only=False)
        positions = where.fill_null(0).to_numpy()[is_replaced]
        is_changed = _hashes(old)[is_replaced] != _hashes(new)[positions]
        changed = pc.count_distinct(old_ids.filter(pa.array(is_replaced)).filter(pa.array(is_changed))).as_py()
    old_times, new_times = (rows["event_at"].combine_chunks() for rows in (old_rows, new_rows))
    kept = [(old_ids, old_times, keep_old), (new_ids, new_times, keep_new)]
    inside = strays = 0
    for ids, times, keep in kept:
        is_in = is_between(times.filter(keep), *interval)
        inside += pc.count_distinct(ids.filter(keep).filter(is_in)).as_py()
        strays += pc.count_distinct(ids.filter(keep).filter(pc.invert(is_in))).as_py()
    missing = pc.count_distinct(old_ids.filter(pc.invert(is_again))).as_py()
    outcome, services = _judge(before, after, is_all_there=not missing)
    metadata = msgspec.structs.replace(
        after,
        rows=sum(pc.sum(keep).as_py() or 0 for _, _, keep in kept),
        inside=inside,
        strays=strays,
        extracted_at=max(one.extracted_at for one in (before, after) if one.extracted_at),
        services=services,
        outcome=outcome,
        began_before_retention=bool(after.began_before_retention) and before.began_before_retention is not False,
    )
    with open_writer(target) as writer:
        for file, keep in ((new, keep_new), (old, keep_old)):
            for batch in _filtered(file, keep):
                writer.write_batch(batch)
        add_metadata(writer, metadata)
    return Union(
        metadata=metadata,
        kept=missing,
        added=pc.count_distinct(new_ids.filter(pc.invert(pc.is_in(new_ids, value_set=old_ids)))).as_py(),
        changed=changed,
    )


def _judge(before: UnitMetadata, after: UnitMetadata, *, is_all_there: bool) -> tuple[str, list[str] | None]:
    """The outcome of a unit and its services; `is_all_there`: the later reading returned all that had landed.

    What JumpCloud no longer has it counts no longer: its count proves nothing where some of what had landed is gone,
    nor does an agreement on nothing where there had been something. A unit that was read whole was read so with the
    services of the readings that were, and stays so.
    """
    was_whole = before.outcome == OK
    is_whole = after.outcome == OK and is_all_there and (after.received > 0 or before.outcome != INCOMPLETE)
    together = list(dict.fromkeys([*(after.services or ()), *(before.services or ())])) or None
    if was_whole == is_whole:
        return OK if is_whole else INCOMPLETE, together
    return OK, before.services if was_whole else after.services


def _filtered(file: pq.ParquetFile, keep: pa.BooleanArray) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in file.iter_batches(BATCH_ROWS):
        kept = batch.filter(keep.slice(start, batch.num_rows))
        start += batch.num_rows
        if kept.num_rows:
            yield pa.record_batch(kept.columns, schema=UNIT_SCHEMA)


def _hashes(file: pq.ParquetFile) -> npt.NDArray[np.int64]:
    """A number for each row's payload, equal for equal ones in this process."""
    batches = file.iter_batches(BATCH_ROWS, columns=["payload"])
    return np.fromiter((hash(one) for batch in batches for one in batch["payload"].to_pylist()), np.int64)
