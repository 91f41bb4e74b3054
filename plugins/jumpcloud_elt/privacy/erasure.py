"""Rewrites landed files in which one person stands, so that nothing of the person is left and every count stays.

A file is replaced whole or not at all; files that are hard links of each other stay so. Does not know who the
person is: `people` does; nor what stands for them: `pseudonyms` does; nor what becomes of a row: `erasure_rules` does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jumpcloud_elt.core.storage import Place, name_within
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.landing.files import COMPRESSION_LEVEL, encode_metadata, read_metadata
from jumpcloud_elt.landing.layout import EVENTS
from jumpcloud_elt.landing.snapshots import fingerprint_of
from jumpcloud_elt.landing.units import UNIT_SCHEMA, open_writer
from jumpcloud_elt.privacy.erasure_rules import rule_for
from jumpcloud_elt.privacy.pseudonyms import Pseudonyms


@dataclass
class Counts:
    """How many files and rows hold the person."""

    files: int = 0
    rows: int = 0


def erase(landing: Place, pseudonyms: Pseudonyms, *, is_dry_run: bool) -> Counts:
    """Rewrite every landed file that holds the person; where `is_dry_run`, only count them."""
    counts = Counts()
    done: dict[tuple[object, ...], tuple[int, Place]] = {}
    for path in _files(landing, pseudonyms.person.organization_id):
        # Hard links are one file.
        identity = path.identity()
        if identity in done:
            rows, twin = done[identity]
            if rows and not is_dry_run:
                path.create_hard_link_to(twin)
        else:
            rows = _erase_from_file(path, Path(name_within(path, landing)), pseudonyms, is_dry_run=is_dry_run)
            done[identity] = (rows, path)
        counts.rows += rows
        counts.files += rows > 0
    return counts


def _files(landing: Place, organization_id: str) -> Iterator[Place]:
    """Every landed file but those of other organizations."""
    for path in landing.find_files("**/*.parquet"):
        partitions = [part for part in name_within(path, landing).split("/") if part.startswith("organization_id=")]
        if not partitions or partitions == [f"organization_id={organization_id}"]:
            yield path


def _erase_from_file(path: Place, name: Path, pseudonyms: Pseudonyms, *, is_dry_run: bool) -> int:
    """Rewrite one file, if it has to be; return how many rows change."""
    erase_row = rule_for(name, pseudonyms)
    suspect = _suspect(pseudonyms)
    file = path.open_parquet()
    metadata = dict(file.metadata.metadata or {})
    own = read_metadata(path)
    # A fingerprint is over all rows; files that carry one are small.
    groups = [[group] for group in range(file.num_row_groups)]
    if "fingerprint" in own:
        groups = [list(range(file.num_row_groups))]
    rows = sum(_erase_from_table(file.read_row_groups(group), erase_row, suspect)[1] for group in groups)
    if not rows or is_dry_run:
        return rows
    with path.temporary() as temporary:
        with _open_writer(temporary, name.parts[0], file.schema_arrow.remove_metadata()) as writer:
            for group in groups:
                table, _ = _erase_from_table(file.read_row_groups(group), erase_row, suspect)
                if "fingerprint" in own:
                    table = _sorted_by_key(table)
                    metadata |= encode_metadata({**own, "fingerprint": fingerprint_of(table)})
                writer.write_table(table)
            writer.add_key_value_metadata({key: metadata[key] for key in metadata if key != b"ARROW:schema"})
        path.put(temporary)
    return rows


def _open_writer(path: Path, stream: str, schema: pa.Schema) -> pq.ParquetWriter:
    if stream == EVENTS and schema.equals(UNIT_SCHEMA):
        return open_writer(path)
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=COMPRESSION_LEVEL)


def _sorted_by_key(table: pa.Table) -> pa.Table:
    """As listings are landed; a pseudonym does not stay where the id was."""
    keys = [name for name in table.column_names if name != "payload" and not name.startswith("_")]
    return table.sort_by([(key, "ascending") for key in keys])


def _erase_from_table(
    table: pa.Table, erase_row: Callable[[Row], Row], suspect: Callable[[pa.Table], pa.Array]
) -> tuple[pa.Table, int]:
    """The table without the person, and how many rows are not what they were."""
    positions = pc.indices_nonzero(suspect(table)).to_pylist()
    before = table.take(pa.array(positions, pa.int64())).to_pylist()
    after = [erase_row(row) for row in before]
    changed = [(position, new) for position, old, new in zip(positions, before, after, strict=True) if new != old]
    if not changed:
        return table, 0
    columns = []
    for column in table.schema:
        values = table[column.name].to_pylist()
        for position, row in changed:
            values[position] = row[column.name]
        columns.append(pa.array(values, column.type))
    return pa.table(columns, schema=table.schema), len(changed)


def _suspect(pseudonyms: Pseudonyms) -> Callable[[pa.Table], pa.Array]:
    """A cheap look: the rows that may hold the person. What JSON may have escaped is looked into."""
    person = pseudonyms.person
    texts = {*person.ids, *person.emails, *person.usernames, *person.shared}
    pattern = "(?i)" + "|".join([*sorted(map(_quoted, texts)), r"\\"])

    def mask(table: pa.Table) -> pa.Array:
        found = pa.repeat(pa.scalar(False), table.num_rows)
        for column in table.schema:
            values = table[column.name].combine_chunks()
            if pa.types.is_list(column.type) and pa.types.is_string(column.type.value_type):
                values = pc.binary_join(values, "\n")
            if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
                matches = pc.match_substring_regex(values, pattern)
                found = pc.or_(found, pc.fill_null(matches, False))
        return found

    return mask


def _quoted(text: str) -> str:
    """For RE2, which lets punctuation be escaped and nothing else."""
    return re.sub(r"([!-/:-@\[-^`{-~])", r"\\\1", text)
