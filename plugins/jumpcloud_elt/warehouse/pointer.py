"""Publishes a warehouse to a bucket, where a small pointer object names the published one.

DuckDB writes to local disks only. So a warehouse is built in a local folder; each build is an object with a name of
its own, which other hosts can check; and a small object, replaced last, names the one that is published:

    warehouse/jumpcloud.json
    warehouse/jumpcloud-<time>-<run>.duckdb
    warehouse/state/jumpcloud-<time>-<run>.duckdb              what the next build goes on with
    warehouse/state/last_good-jumpcloud-<time>-<run>.duckdb    a copy: readers need no access to warehouse/state

A reader downloads the named object once: the content of a name never changes. Does not build and does not check.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import threading
import time
from datetime import datetime
from pathlib import Path

import msgspec

from jumpcloud_elt.core.folder import FolderPath, set_mode
from jumpcloud_elt.core.host import private_folder
from jumpcloud_elt.core.storage import Place, read_if_there
from jumpcloud_elt.core.times import format_time, parse_time, utc_now
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.landing.layout import run_file_name
from jumpcloud_elt.warehouse.files import ABANDONED, LAST_GOOD, STATE, discard_builds, discard_file, state_file_of

log = logging.getLogger(__name__)

# Previously published warehouses that are kept, for readers that are still downloading them.
KEPT_PREVIOUS = 2
# A downloaded file that is no longer the published one may have been given to a reader that has not opened it yet.
HANDED_OUT_SECONDS = 600
# In a folder that is this user's alone.
_MODE = 0o400
_downloading = threading.Lock()


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """Which object is the published warehouse, and which were before it, the latest first."""

    file: str
    previous: tuple[str, ...] = ()
    published_at: datetime


class BucketPublisher:
    """Publishes by replacing the pointer object. `warehouse` is the place from which all names are derived."""

    def __init__(self, warehouse: Place, data_root: object) -> None:
        self._warehouse = warehouse
        self._pointer = warehouse.with_name(f"{warehouse.stem}.json")
        self._state = warehouse.parent / STATE
        self._data_root = str(data_root)

    def building_path(self, run_id: str) -> Path:
        return self._local_folder() / f".{run_file_name(run_id)}.duckdb"

    def hand_over(self, target: Path) -> str:
        name = f"{self._warehouse.stem}-{format_time(utc_now())}-{target.stem.lstrip('.')}.duckdb"
        built = self._warehouse.with_name(name)
        state = state_file_of(target)
        (self._state / name).put(state)
        built.put(target)
        set_mode(target, _MODE)
        # The task that checks it may well run on this host.
        state.replace(state.with_name(name))
        target.replace(self._local_folder() / name)
        return str(built)

    def local_file(self, built: str) -> Path:
        try:
            self._download(f"{STATE}/{_name(built)}")
            return self._download(_name(built))
        except FileNotFoundError as error:
            raise WarehouseError(f"{built} is not there any more: build it again.") from error

    def changeable_file(self, built: str) -> Path:
        unchanged = self.local_file(built)
        # <warehouse>-<time>-<run>.duckdb
        target = unchanged.with_name(f".{unchanged.name.split('-', 2)[2]}")
        for file, copy in ((unchanged, target), (state_file_of(unchanged), state_file_of(target))):
            shutil.copyfile(file, copy)
        return target

    def is_published(self, built: str) -> bool:
        pointer = self._read_pointer()
        return pointer is not None and pointer.file == _name(built)

    def publish(self, built: str) -> str:
        name, before = _name(built), self._pointer_if_whole()
        (self._state / f"{LAST_GOOD}{name}").create_hard_link_to(self._warehouse.with_name(name))
        previous = tuple(one for one in (before.file, *before.previous) if one != name) if before else ()
        self._write_pointer(name, previous[:KEPT_PREVIOUS])
        oldest = utc_now() - ABANDONED
        for left in self._objects():
            is_superseded = left.name in previous[KEPT_PREVIOUS:]
            if is_superseded or (left.name not in (name, *previous) and self._built_at(left) < oldest):
                left.unlink(missing_ok=True)
        for left in self._state_objects():
            of = left.name.removeprefix(LAST_GOOD)
            if of != name and (of in previous or self._built_at(left.with_name(of)) < oldest):
                left.unlink(missing_ok=True)
        return built

    def state_file(self) -> FolderPath | None:
        return self._beside_published("")

    def last_good_file(self) -> FolderPath | None:
        return self._beside_published(LAST_GOOD)

    def discard_state(self) -> None:
        for left in self._state_objects():
            left.unlink(missing_ok=True)
        for downloaded in (self._local_folder() / STATE).glob("*"):
            downloaded.unlink(missing_ok=True)

    def published_file(self) -> FolderPath | None:
        gone = None
        while pointer := self._read_pointer():
            try:
                return self._download(pointer.file)
            except FileNotFoundError as error:
                # It may have been published over so often meanwhile that it is gone: then the pointer is a newer one.
                if pointer.file == gone:
                    raise WarehouseError(
                        f"{self._pointer} names {gone}, which is not there: run jumpcloud_warehouse."
                    ) from error
                gone = pointer.file
        return None

    def discard(self, built: str) -> None:
        name = _name(built)
        discard_file(self._local_folder() / name)
        (self._state / name).unlink(missing_ok=True)
        self._warehouse.with_name(name).unlink(missing_ok=True)

    def discard_unpublished(self) -> None:
        pointer = self._pointer_if_whole()
        kept = (pointer.file, *pointer.previous) if pointer else ()
        for left in (*self._objects(), *self._state_objects()):
            if left.name.removeprefix(LAST_GOOD) not in kept:
                left.unlink(missing_ok=True)
        discard_builds(self._local_folder())

    def keep_only_published(self) -> None:
        pointer = self._read_pointer()
        if pointer is None:
            return
        self._write_pointer(pointer.file, ())
        for name in pointer.previous:
            self._warehouse.with_name(name).unlink(missing_ok=True)
        here = self._local_folder().glob(f"**/*{self._warehouse.stem}-*.duckdb")
        for left in (*self._state_objects(), *here):
            if left.name.removeprefix(LAST_GOOD) != pointer.file:
                left.unlink(missing_ok=True)

    def _read_pointer(self) -> Pointer | None:
        content = read_if_there(self._pointer)
        try:
            return msgspec.json.decode(content, type=Pointer) if content is not None else None
        except msgspec.MsgspecError as error:
            raise WarehouseError(
                f"{self._pointer} does not name a warehouse ({error}): remove it and build again."
            ) from error

    def _pointer_if_whole(self) -> Pointer | None:
        """The pointer, for whoever replaces it: a damaged one names nothing."""
        try:
            return self._read_pointer()
        except WarehouseError as error:
            log.warning("%s", error)
            return None

    def _write_pointer(self, file: str, previous: tuple[str, ...]) -> None:
        with self._pointer.temporary() as temporary:
            temporary.write_bytes(msgspec.json.encode(Pointer(file=file, previous=previous, published_at=utc_now())))
            self._pointer.put(temporary)

    def _beside_published(self, prefix: str) -> FolderPath | None:
        """What the state folder has of the published warehouse, on this host."""
        pointer = self._pointer_if_whole()
        try:
            return self._download(f"{STATE}/{prefix}{pointer.file}") if pointer else None
        except FileNotFoundError:
            return None

    def _state_objects(self) -> list[Place]:
        return self._state.find_files("*.duckdb")

    def _objects(self) -> list[Place]:
        return self._warehouse.parent.find_files(f"{self._warehouse.stem}-*.duckdb")

    def _built_at(self, built: Place) -> datetime:
        return parse_time(built.name.removeprefix(f"{self._warehouse.stem}-").split("-", 1)[0])

    def _download(self, name: str) -> FolderPath:
        """The object as a file on this host, downloaded unless it is there. Raises FileNotFoundError if it is gone."""
        downloaded = self._local_folder() / name
        # Concurrent requests of one server do not download the same object twice.
        with _downloading:
            if not downloaded.exists():
                with downloaded.temporary() as temporary:
                    (self._warehouse.parent / name).copy_to(temporary)
                    set_mode(temporary, _MODE)
                    downloaded.put(temporary)
                _remove_unused(downloaded)
            # The time of its last use, as the file system may not record it.
            os.utime(downloaded, ns=(time.time_ns(), downloaded.stat().st_mtime_ns))
        return downloaded

    def _local_folder(self) -> FolderPath:
        """Where this host builds, and keeps what it has downloaded."""
        folder = private_folder() / hashlib.sha256(self._data_root.encode()).hexdigest()[:12]
        (folder / STATE).mkdir(parents=True, exist_ok=True)
        return folder


def _remove_unused(keep: Path) -> None:
    for downloaded in keep.parent.glob("[!.]*.duckdb"):
        with contextlib.suppress(FileNotFoundError):
            if downloaded != keep and time.time() - downloaded.stat().st_atime > HANDED_OUT_SECONDS:
                downloaded.unlink()


def _name(built: str) -> str:
    return built.rsplit("/", 1)[-1]
