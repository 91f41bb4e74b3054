"""Storage in a folder: `pathlib.Path` with the operations of `storage.Place`.

Who writes or replaces a file holds a lock file beside it, which ends with its process: a file whose lock can be taken
has no writer. A lock is a file of its own and opened for writing, as NFS wants it; the file that is written stays
unlocked, for on SMB a lock shuts out even its own process. Whoever holds a lock file removes it, and nobody else.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING

from jumpcloud_elt.core.storage import Place

if TYPE_CHECKING:
    import duckdb
    import pyarrow.parquet as pq

log = logging.getLogger(__name__)

# Files hold people: others may not read them, whatever the umask.
_FILE_MODE = 0o660
_FOLDER_MODE = 0o700
_TEMPORARY, _LOCK = ".tmp", ".lock"


class FolderPath(PosixPath):
    """A path of a local file system, as a `Place`."""

    __slots__ = ()

    @property
    def url(self) -> str:
        return str(self)

    @property
    def local_path(self) -> Path:
        return self

    def find_files(self, pattern: str) -> list[Place]:
        return [*self._find(pattern)]

    def find_versions(self, pattern: str) -> dict[str, str]:
        found = {path.relative_to(self).as_posix(): path.stat() for path in self._find(pattern)}
        return {name: f"{stat.st_size}-{stat.st_mtime_ns}" for name, stat in found.items()}

    def _find(self, pattern: str) -> list[FolderPath]:
        return sorted(path for path in self.glob(pattern) if not path.is_dir())

    def identity(self) -> tuple[object, ...]:
        stat = self.stat()
        # File numbers are reused, but not with the same size and time.
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        with self._new_temporary() as temporary:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE))
            yield temporary

    @contextlib.contextmanager
    def temporary_folder(self) -> Iterator[FolderPath]:
        """A new folder beside this path that only this user may enter; removed on leaving, with what is in it."""
        with self._new_temporary() as temporary:
            temporary.mkdir(mode=_FOLDER_MODE)
            yield temporary

    @contextlib.contextmanager
    def _new_temporary(self) -> Iterator[FolderPath]:
        """A name for something that others may remove once this process has ended."""
        self.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.with_name(f".{self.name}.{uuid.uuid4().hex}{_TEMPORARY}")
        with _holding(_lock_of(temporary)):
            try:
                yield temporary
            finally:
                _remove(temporary)

    def remove_temporaries(self, folders: str = "") -> None:
        for top in self.glob(folders) if folders else [self]:
            # Unlike glob, it is not stopped by a folder that somebody removes meanwhile.
            for folder, inside, files in os.walk(top):
                names = [one for one in (*inside, *files) if one.startswith(".") and one.endswith((_TEMPORARY, _LOCK))]
                for name in {one.removesuffix(_LOCK) for one in names}:
                    _remove_unless_held(_lock_of(FolderPath(folder, name)))

    def put(self, temporary: Path) -> None:
        with temporary.open("rb") as written:
            # A rename may survive a power cut that the data before it did not.
            os.fsync(written.fileno())
        temporary.replace(self)

    @contextlib.contextmanager
    def one_writer(self) -> Iterator[Callable[[Path], None]]:
        self.parent.mkdir(parents=True, exist_ok=True)
        with _holding(_lock_of(self.with_name(f".{self.name}"))):
            yield self.put

    def create_hard_link_to(self, source: Place) -> None:
        with self._new_temporary() as temporary:
            os.link(source.url, temporary)
            self.put(temporary)

    def copy_to(self, local: Path) -> None:
        shutil.copyfile(self, local)

    def open_parquet(self) -> pq.ParquetFile:
        import pyarrow.parquet as pq  # noqa: PLC0415, Airflow parses Dags without it

        return pq.ParquetFile(self)

    def let_read(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Nothing to do: DuckDB reads local files."""

    def make_folder(self) -> None:
        self.mkdir(parents=True, exist_ok=True)

    def claim_folder(self) -> bool:
        self.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.mkdir()
        except FileExistsError:
            return False
        return True

    def remove_folder(self) -> None:
        shutil.rmtree(self, ignore_errors=True)

    def remove_empty_folder(self) -> None:
        with contextlib.suppress(OSError):
            self.rmdir()


@contextlib.contextmanager
def for_owner_only() -> Iterator[None]:
    """What this process creates meanwhile is its user's alone: for DuckDB, which asks for no mode."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def set_mode(file: Path, mode: int) -> None:
    """Give a file its mode, and its folder's group where that has the setgid bit.

    A volume that lets neither be changed (SMB, Azure Files) decides about them itself: that is a warning.
    """
    folder, refused = file.parent.stat(), []
    try:
        if folder.st_mode & stat.S_ISGID and file.stat().st_gid != folder.st_gid:
            os.chown(file, -1, folder.st_gid)
    except OSError as error:
        refused.append(f"group {folder.st_gid}: {error.strerror}")
    try:
        file.chmod(mode)
    except OSError as error:
        refused.append(f"mode {mode:04o}: {error.strerror}")
    if refused:
        found = stat.S_IMODE(file.stat().st_mode)
        log.warning("%s stays with mode %04o, as its volume has it (%s)", file, found, "; ".join(refused))


def _lock_of(path: FolderPath) -> FolderPath:
    return path.with_name(f"{path.name}{_LOCK}")


@contextlib.contextmanager
def _holding(lock: Path) -> Iterator[None]:
    """Hold a lock file, waiting for whoever has it."""
    descriptor = _take(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        _let_go(lock, descriptor)


def _take(lock: Path, operation: int) -> int:
    """Make and lock a file; return its descriptor. Raises BlockingIOError as `operation` has it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, _FILE_MODE)
        try:
            fcntl.flock(descriptor, operation)
            is_taken = _is_still(lock, descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        if is_taken:
            return descriptor
        # Whoever had it has removed it: another may stand there by now.
        os.close(descriptor)


def _let_go(lock: Path, descriptor: int) -> None:
    try:
        # Still held: nobody else can have the file that is removed.
        if _is_still(lock, descriptor):
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _is_still(lock: Path, descriptor: int) -> bool:
    """Whether an open file is the one of that name. NFS may remember a name for longer than a number of links."""
    try:
        opened = os.fstat(descriptor)
        return opened.st_nlink > 0 and os.path.samestat(opened, lock.stat())
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESTALE):
            raise
        return False


def _remove_unless_held(lock: Path) -> None:
    # What another user wrote is that one's to remove.
    with contextlib.suppress(FileNotFoundError, PermissionError, BlockingIOError):
        descriptor = _take(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            written = lock.with_suffix("")
            if written.suffix == _TEMPORARY:
                _remove(written)
        finally:
            _let_go(lock, descriptor)


def _remove(temporary: Path) -> None:
    if temporary.is_dir():
        shutil.rmtree(temporary, ignore_errors=True)
    else:
        temporary.unlink(missing_ok=True)
