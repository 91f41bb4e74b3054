"""How a built warehouse becomes the published one, and how a reader comes by it.

In a folder it is built beside the published file and renamed over it:

    warehouse/jumpcloud.duckdb
    warehouse/.<run>.duckdb

DuckDB writes to local disks only. For an object store it is built in a local folder; each build is an object of its
own, under a new name, which other hosts can check; and a small object, replaced last, says which one is published:

    warehouse/jumpcloud.json
    warehouse/jumpcloud-<time>-<run>.duckdb

A reader fetches the object that is named there, once: what a name stands for never changes. Does not build and does
not check; what it knows of a warehouse is who built it, and when.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import msgspec

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place, find_files, let_read, put, quote, read_if_there, temporary_for
from jumpcloud_elt.core.times import format_time, parse_time, utc_now
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.landing.layout import run_file_name

log = logging.getLogger(__name__)

# As DuckDB calls the published file where it is connected to.
CATALOG = "jumpcloud"
ABANDONED = timedelta(days=1)
# Published before, and kept for those who are still fetching them.
KEPT_PREVIOUS = 2
# A fetched file that is no longer the published one may have been handed to somebody who has not opened it yet.
HANDED_OUT_SECONDS = 600
_fetching = threading.Lock()


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """Which object is the published warehouse, and which were before it, the latest first."""

    file: str
    previous: tuple[str, ...] = ()
    published_at: datetime


def building_path(settings: Settings, run_id: str) -> Path:
    """The local file into which a run builds; in a folder beside the published one, so that a rename can publish it."""
    warehouse = settings.warehouse
    if isinstance(warehouse, Path):
        return warehouse.with_name(f".{run_file_name(run_id)}.duckdb")
    return _local_folder(settings) / f".{run_file_name(run_id)}.duckdb"


def hand_over(settings: Settings, target: Path) -> str:
    """Put a built file where other tasks find it, on whatever host they run; return what to call it."""
    warehouse = settings.warehouse
    if isinstance(warehouse, Path):
        return str(target)
    built = warehouse.with_name(f"{warehouse.stem}-{format_time(utc_now())}-{target.stem.lstrip('.')}.duckdb")
    put(target, built)
    target.chmod(0o444)
    # The task that checks it may well run here.
    target.replace(_local_folder(settings) / built.name)
    return str(built)


def local_file(settings: Settings, built: str) -> Path:
    """The local file of what `hand_over` returned. Raises WarehouseError where it is no longer there."""
    warehouse = settings.warehouse
    if isinstance(warehouse, Path):
        return Path(built)
    try:
        return _fetch(settings, _name(built))
    except FileNotFoundError as error:
        raise WarehouseError(f"{built} is not there any more: build it again.") from error


def is_published(settings: Settings, built: str) -> bool:
    """Whether `built` is the published warehouse already: an earlier try of the task has published it."""
    warehouse = settings.warehouse
    if not isinstance(warehouse, Path):
        pointer = _read_pointer(settings)
        return pointer is not None and pointer.file == _name(built)
    if Path(built).exists() or not warehouse.exists():
        return False
    return str(building_path(settings, built_by(warehouse)[0])) == built


def built_by(file: Path) -> tuple[str, datetime]:
    """The run that built a warehouse, and when it began."""
    with contextlib.closing(open_file(file)) as connection:
        run_id, built_at = connection.execute("select run_id, built_at from warehouse_info").fetchall()[0]
    return run_id, built_at


def open_file(file: Path, landing: Place | None = None) -> duckdb.DuckDBPyConnection:
    """A warehouse file as it is now, read-only; its view of events reads `landing`, where one is given.

    Attached, not connected to: `duckdb.connect` gives a process that has the name open already what it has open, which
    may be a file that has been replaced since. Raises duckdb.Error.
    """
    connection = duckdb.connect()
    try:
        if landing is not None:
            let_read(connection, landing)
        connection.execute("set temp_directory = ?", [str(Path(tempfile.gettempdir(), f"jumpcloud_elt-{os.getpid()}"))])
        connection.execute(f"attach {quote(file)} as {CATALOG} (read_only)")
        connection.execute(f"use {CATALOG}")
    except BaseException:
        connection.close()
        raise
    return connection


def publish(settings: Settings, built: str) -> str:
    """Swap a built and checked warehouse in for the published one, read-only; return what readers open."""
    warehouse = settings.warehouse
    if isinstance(warehouse, Path):
        Path(built).chmod(0o444)
        _leave_sessions_behind(warehouse)
        put(Path(built), warehouse)
        return str(warehouse)
    before = _read_pointer(settings)
    previous = tuple(one for one in (before.file, *before.previous) if one != _name(built)) if before else ()
    _write_pointer(settings, _name(built), previous[:KEPT_PREVIOUS])
    oldest = utc_now() - ABANDONED
    for left in _objects(settings):
        if left.name in previous[KEPT_PREVIOUS:] or (
            left.name not in (_name(built), *previous) and _built_at(left, warehouse) < oldest
        ):
            left.unlink(missing_ok=True)
    return built


def session_log(published: Path) -> Path:
    """Where DuckDB writes what a read-write session does, and from where every reader has it replayed."""
    return published.with_name(f"{published.name}.wal")


def _leave_sessions_behind(warehouse: Path) -> None:
    """Let nothing that somebody has written to the published file get into the next, and say so.

    A session that is open goes on with the file that is replaced; by its name, its log lies beside the new one.
    """
    left = session_log(warehouse)
    if left.exists():
        log.warning("%s: somebody has written to the published warehouse; the new one has nothing of it", left)
        left.unlink(missing_ok=True)
    if warehouse.exists():
        try:
            open_file(warehouse).close()
        except duckdb.Error as error:
            log.warning(
                "%s cannot be opened (%s). Where a session has it open for writing, end it: readers are shown what it "
                "writes until the next publish. Open the warehouse read-only",
                warehouse,
                error,
            )


def published_file(settings: Settings) -> Path | None:
    """A local file that is the published warehouse, to be opened read-only and soon; None where there is none."""
    warehouse = settings.warehouse
    if isinstance(warehouse, Path):
        return warehouse if warehouse.exists() else None
    gone = None
    while pointer := _read_pointer(settings):
        try:
            return _fetch(settings, pointer.file)
        except FileNotFoundError as error:
            # Where it has been published over so often meanwhile that it is gone, there is a newer one.
            if pointer.file == gone:
                raise WarehouseError(
                    f"{_pointer_place(warehouse)} names {gone}, which is not there: run jumpcloud_warehouse."
                ) from error
            gone = pointer.file
    return None


def discard(settings: Settings, built: str) -> None:
    """Remove what was built, and must not be published."""
    warehouse = settings.warehouse
    if isinstance(warehouse, Path):
        discard_file(Path(built))
    else:
        (_local_folder(settings) / _name(built)).unlink(missing_ok=True)
        warehouse.with_name(_name(built)).unlink(missing_ok=True)


def discard_file(target: Path) -> None:
    """Remove what a build has left on this host."""
    target.unlink(missing_ok=True)
    session_log(target).unlink(missing_ok=True)


def discard_abandoned(folder: Path) -> None:
    """Remove what builds that were killed, or failed their checks, have left for a day on this host."""
    for left in folder.glob(".*.duckdb*"):
        if time.time() - left.stat().st_mtime > ABANDONED.total_seconds():
            _remove(left)


def discard_unpublished(settings: Settings) -> None:
    """Remove everything that has been built and not published, in use or not."""
    warehouse = settings.warehouse
    if isinstance(warehouse, Path):
        folder = warehouse.parent
    else:
        folder = _local_folder(settings)
        pointer = _read_pointer(settings)
        for left in _objects(settings):
            if pointer is None or left.name not in (pointer.file, *pointer.previous):
                left.unlink(missing_ok=True)
    for path in folder.glob(".*.duckdb*"):
        _remove(path)


def keep_only_published(settings: Settings) -> None:
    """Remove what was published before, in the store and on this host: it holds what has been forgotten since."""
    warehouse, pointer = settings.warehouse, _read_pointer(settings)
    if isinstance(warehouse, Path) or pointer is None:
        return
    _write_pointer(settings, pointer.file, ())
    for name in pointer.previous:
        warehouse.with_name(name).unlink(missing_ok=True)
    for fetched in _local_folder(settings).glob(f"{warehouse.stem}-*.duckdb"):
        if fetched.name != pointer.file:
            fetched.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _name(built: str) -> str:
    return built.rsplit("/", 1)[-1]


def _pointer_place(warehouse: Place) -> Place:
    return warehouse.with_name(f"{warehouse.stem}.json")


def _read_pointer(settings: Settings) -> Pointer | None:
    place = _pointer_place(settings.warehouse)
    content = read_if_there(place)
    try:
        return msgspec.json.decode(content, type=Pointer) if content is not None else None
    except msgspec.MsgspecError as error:
        raise WarehouseError(f"{place} does not name a warehouse ({error}): remove it and build again.") from error


def _write_pointer(settings: Settings, file: str, previous: tuple[str, ...]) -> None:
    place = _pointer_place(settings.warehouse)
    with temporary_for(place) as temporary:
        temporary.write_bytes(msgspec.json.encode(Pointer(file=file, previous=previous, published_at=utc_now())))
        put(temporary, place)


def _objects(settings: Settings) -> list[Place]:
    return find_files(settings.warehouse.parent, f"{settings.warehouse.stem}-*.duckdb")


def _built_at(built: Place, warehouse: Place) -> datetime:
    return parse_time(built.name.removeprefix(f"{warehouse.stem}-").split("-", 1)[0])


def _fetch(settings: Settings, name: str) -> Path:
    """The object as a file on this host, fetched unless it is there. Raises FileNotFoundError where it is gone."""
    folder = _local_folder(settings)
    fetched = folder / name
    # Requests of one server do not fetch the same thing beside each other.
    with _fetching:
        if not fetched.exists():
            place = settings.warehouse.with_name(name)
            with temporary_for(fetched) as temporary:
                place.fs.get_file(place.path, str(temporary))  # type: ignore[union-attr]
                temporary.chmod(0o444)
                put(temporary, fetched)
            _tidy(folder, name)
        # The time of its last use, as the file system may not note it.
        os.utime(fetched, ns=(time.time_ns(), fetched.stat().st_mtime_ns))
    return fetched


def _tidy(folder: Path, keep: str) -> None:
    for fetched in folder.glob("[!.]*.duckdb"):
        with contextlib.suppress(FileNotFoundError):
            if fetched.name != keep and time.time() - fetched.stat().st_atime > HANDED_OUT_SECONDS:
                fetched.unlink()


def _local_folder(settings: Settings) -> Path:
    """Where this host builds, and keeps what it has fetched: among temporary files (TMPDIR), closed to other users."""
    top = Path(tempfile.gettempdir(), f"jumpcloud_elt-{os.getuid()}")
    top.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = top.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise WarehouseError(f"{top} is not a folder of this user's alone: remove it, or set TMPDIR.")
    folder = top / hashlib.sha256(str(settings.data_root).encode()).hexdigest()[:12]
    folder.mkdir(exist_ok=True)
    return folder
