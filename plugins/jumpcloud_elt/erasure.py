"""Rewrites landed files in which one person stands, so that nothing of the person is left and every count stays.

Which file is treated how goes by its folder:

    systemusers, administrators   the person's rows keep what the marts need and is not personal
    directory_insights_events     the person's events likewise; of events about the person, what names the person goes
    _checkpoints                  the person's names become pseudonyms
    everything else               ids and e-mails become pseudonyms, in what is about the person user names too

A file is replaced whole or not at all; files that are hard links of each other stay so. Does not know who the
person is: `people` does; nor what stands for them: `pseudonyms` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jumpcloud_elt.checkpoints import CHECKPOINTS
from jumpcloud_elt.events import SCHEMA as EVENTS_SCHEMA
from jumpcloud_elt.events import open_writer as open_events_writer
from jumpcloud_elt.landing import (
    COMPRESSION_LEVEL,
    EVENTS,
    RUNS,
    encode_metadata,
    publish,
    read_metadata,
    temporary_beside,
)
from jumpcloud_elt.pseudonyms import Pseudonyms
from jumpcloud_elt.snapshots import fingerprint_of
from jumpcloud_elt.streams import ADMINISTRATORS, DIRECTORY_STREAMS, ORGANIZATIONS, SYSTEMUSERS

Row = dict[str, Any]

# Of a user's or administrator's row: what the marts read and is not personal.
_KEPT = (
    "_id", "id", "organization", "created", "manager", "state", "activated", "suspended", "account_locked",
    "password_expired", "totp_enabled", "totpEnrolled", "role", "roles", "roleName", "roleNames",
)  # fmt: skip
_KEPT_OF_OBJECTS = {
    "mfa": ("configured",),
    "mfaEnrollment": ("overallStatus",),
    "admin": ("id", "roleName", "roleNames"),
}
# What the marts read and is personal: a pseudonym stands for each value, so that histories keep their versions.
_NAMING = ("email", "username", "firstname", "lastname", "displayname", "department", "jobTitle")
_NAMING_COLUMNS = ("email", "username", "first_name", "last_name", "display_name", "department", "job_title")
_ID_COLUMNS = ("user_id", "administrator_id")

_KEPT_OF_EVENTS = ("id", "event_type", "service", "timestamp", "organization", "success", "sso_token_success")
_KEPT_OF_APPLICATIONS = ("id", "name", "display_label", "sso_type")
_ACTORS = ("initiated_by", "resource")
_ACTOR_FIELDS = ("id", "type", "username", "email")
_OBJECT_IDS = ("id", "_id", "object_id", "user_id")
_OBJECT_NAMES = ("username", "email", "name")
# Where an audit names whom something was done to.
_TARGET_COLUMNS = ("target", "username", "user_name")
# And what it says in words of its own, which may be somebody's user name.
_WORD_COLUMNS = ("action", "outcome")

_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass
class Counts:
    """How many files and rows hold the person."""

    files: int = 0
    rows: int = 0


def erase(landing: Path, pseudonyms: Pseudonyms, *, is_dry_run: bool) -> Counts:
    """Rewrite every landed file that holds the person; where `is_dry_run`, only count them."""
    counts = Counts()
    done: dict[tuple[int, ...], tuple[int, Path]] = {}
    for path in _files(landing, pseudonyms.person.organization_id):
        stat = path.stat()
        # Hard links are one file. Numbers of files are used again; not with the same size and time.
        identity = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if identity in done:
            rows, twin = done[identity]
            if rows and not is_dry_run:
                with temporary_beside(path) as temporary:
                    os.link(twin, temporary)
                    publish(temporary, path)
        else:
            rows = _erase_from_file(path, path.relative_to(landing), pseudonyms, is_dry_run=is_dry_run)
            done[identity] = (rows, path)
        counts.rows += rows
        counts.files += rows > 0
    return counts


def _files(landing: Path, organization_id: str) -> Iterator[Path]:
    """Every landed file but those of other organizations."""
    for path in sorted(landing.rglob("*.parquet")):
        partitions = [part for part in path.relative_to(landing).parts if part.startswith("organization_id=")]
        if not partitions or partitions == [f"organization_id={organization_id}"]:
            yield path


def _erase_from_file(path: Path, name: Path, pseudonyms: Pseudonyms, *, is_dry_run: bool) -> int:
    """Rewrite one file, if it has to be; return how many rows change."""
    erase_row = _rule_for(name, pseudonyms)
    suspect = _suspect(pseudonyms)
    file = pq.ParquetFile(path)
    metadata = dict(file.metadata.metadata or {})
    own = read_metadata(path)
    # A fingerprint is over all rows; files that carry one are small.
    groups = [[group] for group in range(file.num_row_groups)]
    if "fingerprint" in own:
        groups = [list(range(file.num_row_groups))]
    rows = sum(_erase_from_table(file.read_row_groups(group), erase_row, suspect)[1] for group in groups)
    if not rows or is_dry_run:
        return rows
    with temporary_beside(path) as temporary:
        with _open_writer(temporary, name.parts[0], file.schema_arrow.remove_metadata()) as writer:
            for group in groups:
                table, _ = _erase_from_table(file.read_row_groups(group), erase_row, suspect)
                if "fingerprint" in own:
                    table = _sorted_by_key(table)
                    metadata |= encode_metadata({**own, "fingerprint": fingerprint_of(table)})
                writer.write_table(table)
            writer.add_key_value_metadata({key: metadata[key] for key in metadata if key != b"ARROW:schema"})
        publish(temporary, path)
    return rows


def _open_writer(path: Path, stream: str, schema: pa.Schema) -> pq.ParquetWriter:
    if stream == EVENTS and schema.equals(EVENTS_SCHEMA):
        return open_events_writer(path)
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


def _rule_for(name: Path, pseudonyms: Pseudonyms) -> Callable[[Row], Row]:
    """How a row of the file `name` (relative to landing) is rewritten."""
    stream = name.parts[0]
    organization_id = pseudonyms.person.organization_id
    if stream in (SYSTEMUSERS.name, ADMINISTRATORS.name):
        rule = _erase_account
    elif stream == EVENTS:
        rule = _erase_event
    elif stream == CHECKPOINTS:
        rule = _erase_state
    elif stream in (RUNS, ORGANIZATIONS.name, *(one.name for one in DIRECTORY_STREAMS)):
        rule = _erase_mentions
    else:
        rule = _erase_audit

    def erase_row(row: Row) -> Row:
        # A file that is not one organization's says of each row whose it is.
        return rule(row, pseudonyms) if row.get("organization_id", organization_id) == organization_id else row

    return erase_row


def _erase_account(row: Row, pseudonyms: Pseudonyms) -> Row:
    [key] = [name for name in _ID_COLUMNS if name in row]
    if row[key] not in pseudonyms.ids:
        return _erase_mentions(row, pseudonyms)
    payload = _decode(row["payload"])
    kept = {name: payload[name] for name in _KEPT if name in payload}
    for name, parts in _KEPT_OF_OBJECTS.items():
        value = payload.get(name)
        if isinstance(value, dict):
            kept[name] = {part: value[part] for part in parts if part in value}
    named = {name: _pseudonym(payload[name], pseudonyms) for name in _NAMING if name in payload}
    kept = _replace(kept, pseudonyms.anywhere) | named
    return {**row, key: pseudonyms.ids[row[key]], "payload": _encode(kept).decode()}


def _pseudonym(value: Any, pseudonyms: Pseudonyms) -> Any:
    if value is None:
        return None
    # The warehouse reads whatever stands there as text.
    return pseudonyms.of(value if isinstance(value, str) else _encode(value).decode())


def _erase_state(row: Row, pseudonyms: Pseudonyms) -> Row:
    if any(row.get(name) in pseudonyms.ids for name in _ID_COLUMNS):
        row = row | {name: _pseudonym(row[name], pseudonyms) for name in _NAMING_COLUMNS if name in row}
    return _erase_mentions(row, pseudonyms)


def _erase_mentions(row: Row, pseudonyms: Pseudonyms) -> Row:
    return {name: _replace_in_cell(value, pseudonyms.anywhere) for name, value in row.items()}


def _erase_audit(row: Row, pseudonyms: Pseudonyms) -> Row:
    erased = _erase_mentions(row, pseudonyms)
    if erased == row and not any(row.get(name) in pseudonyms.person.usernames for name in _TARGET_COLUMNS):
        return row
    return {
        name: erased[name]
        if name.endswith("_id") or name in _WORD_COLUMNS
        else _replace_in_cell(value, pseudonyms.about_the_person)
        for name, value in row.items()
    }


def _erase_event(row: Row, pseudonyms: Pseudonyms) -> Row:
    erased = {
        name: value if name == "payload" else _replace_in_cell(value, pseudonyms.anywhere)
        for name, value in row.items()
    }
    actors = {role: tuple(row[f"{role}_{name}"] for name in ("id", "username", "email")) for role in _ACTORS}
    persons = [role for role in _ACTORS if pseudonyms.names(*actors[role])]
    for role in persons:
        names = {f"{role}_{name}" for name in ("id", "username", "email")}
        erased |= {name: _pseudonym(row[name], pseudonyms) for name in names}
    actor = "initiated_by" if any(actors["initiated_by"]) else "resource"
    payload = _decode(row["payload"])
    if actor in persons:
        rewritten = _reduce_event(payload, pseudonyms)
    else:
        rewritten = _erase_event_about(payload, pseudonyms, is_about_resource="resource" in persons)
    if rewritten != payload:
        erased["payload"] = _encode(rewritten).decode()
    return erased


def _reduce_event(event: Row, pseudonyms: Pseudonyms) -> Row:
    """The person's own event: what the marts and the view `events` read."""
    kept = {name: event[name] for name in _KEPT_OF_EVENTS if name in event}
    parts = {**dict.fromkeys(_ACTORS, _ACTOR_FIELDS), "application": _KEPT_OF_APPLICATIONS}
    for name, fields in parts.items():
        value = event.get(name)
        if isinstance(value, dict):
            kept[name] = _erase_object({field: value[field] for field in fields if field in value}, pseudonyms)
        elif name in event:
            kept[name] = None
    return kept


def _erase_event_about(event: Row, pseudonyms: Pseudonyms, *, is_about_resource: bool) -> Row:
    """An event of somebody else: what names the person goes, and what was changed about them."""
    mentioned = _replace(event, pseudonyms.in_events)
    is_about = is_about_resource or mentioned != event
    erased = {
        pseudonyms.anywhere(name): value
        if name in _KEPT_OF_EVENTS
        else _erase_object(value, pseudonyms, is_about=is_about)
        for name, value in event.items()
    }
    changes = event.get("changes")
    if is_about_resource and isinstance(changes, list):
        erased["changes"] = [
            {name: change[name] for name in change if name not in ("from", "to")}
            for change in changes
            if isinstance(change, dict)
        ]
    return erased


def _erase_object(value: Any, pseudonyms: Pseudonyms, *, is_about: bool = False) -> Any:
    """A part of an event: an object that is the person keeps nothing but pseudonyms."""
    if isinstance(value, list):
        return [_erase_object(item, pseudonyms, is_about=is_about) for item in value]
    if isinstance(value, str):
        return pseudonyms.about_the_person(value) if is_about else pseudonyms.in_events(value)
    if not isinstance(value, dict):
        return value
    ids = [value[name] for name in _OBJECT_IDS if isinstance(value.get(name), str)]
    username, email = (value[name] if isinstance(value.get(name), str) else None for name in ("username", "email"))
    if any(one in pseudonyms.ids for one in ids) or (not any(ids) and pseudonyms.names(None, username, email)):
        kept = {name: value[name] for name in (*_OBJECT_IDS, "type") if name in value}
        named = {name: _pseudonym(value[name], pseudonyms) for name in _OBJECT_NAMES if name in value}
        return _replace(kept, pseudonyms.anywhere) | named
    return {
        # Another's own names are not about the person, whatever the event is.
        pseudonyms.anywhere(name): _replace(item, pseudonyms.anywhere)
        if name in ("id", "type", "username", "email")
        else _erase_object(item, pseudonyms, is_about=is_about)
        for name, item in value.items()
    }


def _replace_in_cell(value: Any, replace: Callable[[str], str]) -> Any:
    """One cell of a table; JSON text is taken apart, and stays as it was where nothing is replaced."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            decoded = _decode(value)
        except msgspec.DecodeError:
            return replace(value)
        replaced = _replace(decoded, replace)
        return value if replaced == decoded else _encode(replaced).decode()
    return _replace(value, replace)


def _replace(value: Any, replace: Callable[[str], str]) -> Any:
    """Replace in every text of decoded JSON, at any depth."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, list):
        return [_replace(item, replace) for item in value]
    if isinstance(value, Mapping):
        return {replace(key): _replace(item, replace) for key, item in value.items()}
    return value
