"""Storage in a folder: `pathlib.Path` with the operations of `storage.Place`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING

from jumpcloud_elt.core.storage import ANY_AGE, Place

if TYPE_CHECKING:
    import duckdb
    import pyarrow.parquet as pq

_LOCKED = ".locked.tmp"


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
        self.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.with_name(f".{self.name}.{uuid.uuid4().hex}.tmp")
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked_temporary(self) -> Iterator[Path]:
        with self.temporary() as temporary:
            for left in self.parent.glob(f".*{_LOCKED}"):
                _remove_unless_locked(left)
            # Locked before it has the name by which others look for abandoned files.
            locked = temporary.with_name(f"{temporary.stem}{_LOCKED}")
            lock = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                temporary.rename(locked)
                yield locked
            finally:
                locked.unlink(missing_ok=True)
                os.close(lock)

    def remove_temporaries(self, *, older_than: float = ANY_AGE) -> None:
        for path in self.glob("**/.*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < older_than:
                    path.unlink()

    def put(self, temporary: Path) -> None:
        with temporary.open("rb") as written:
            # A rename may survive a power cut that the data before it did not.
            os.fsync(written.fileno())
        temporary.replace(self)

    @contextlib.contextmanager
    def one_writer(self) -> Iterator[Callable[[Path], None]]:
        folder = os.open(self.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield self.put
        finally:
            os.close(folder)

    def create_hard_link_to(self, source: Place) -> None:
        with self.temporary() as temporary:
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


def _remove_unless_locked(left: Path) -> None:
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        lock = os.open(left, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
        finally:
            os.close(lock)
