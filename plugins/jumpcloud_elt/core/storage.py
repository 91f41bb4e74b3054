"""Storage: the one interface to files in a folder and to objects in a bucket.

A `Place` is the name of a file or of a folder. `folder.FolderPath` and `bucket.BucketPath` implement it, and no caller
asks which of the two it has:

                  folder                               bucket
    find_files    walks the folder                     lists the keys below a prefix
    put           syncs the file and renames it        one PUT: the object appears whole or not at all
    hard link     a hard link                          a copy within the bucket
    one_writer    a lock file; the second waits        a conditional PUT; the second writer is refused
    Parquet       read by path                         read through the fsspec file system

Does not know landing, JumpCloud, or what the files contain.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import duckdb
    import pyarrow.parquet as pq


class PutRefusedError(OSError):
    """Another writer has replaced the object meanwhile. Not one of the package's own errors: a retry heals it."""


class Place(Protocol):
    """The name of a file or folder, in a folder or in a bucket. Equal places have equal names."""

    @property
    def name(self) -> str: ...

    @property
    def stem(self) -> str: ...

    @property
    def parent(self) -> Place: ...

    @property
    def url(self) -> str:
        """The name that DuckDB and other clients use: a path, or a URL without the connection id."""
        ...

    @property
    def local_path(self) -> Path | None:
        """The path on this host; None in a bucket."""
        ...

    def __truediv__(self, name: str, /) -> Place: ...

    def __hash__(self) -> int: ...

    def with_name(self, name: str, /) -> Place: ...

    def exists(self) -> bool: ...

    def read_bytes(self) -> bytes:
        """The content of a small file, in one request. Raises FileNotFoundError."""
        ...

    def unlink(self, missing_ok: bool = False) -> None: ...

    def find_files(self, pattern: str) -> list[Place]:
        """The files below this folder whose relative names match, sorted by name.

        `*` matches anything but a slash, `**` any number of folders.
        """
        ...

    def find_versions(self, pattern: str) -> dict[str, str]:
        """The files that `find_files` finds: relative name to version. A version changes with the content.

        Opens no file; a bucket is listed once.
        """
        ...

    def identity(self) -> tuple[object, ...]:
        """Equal for two places with the same content: hard links of one file, or equal objects."""
        ...

    def temporary(self) -> AbstractContextManager[Path]:
        """A local path for the file that is going to be `put` here; removed on leaving.

        In a folder it lies in the same folder, so that a rename can move it; its name begins with a dot and ends in
        `.tmp`, and no reader takes it for a landed file. For a bucket it lies in this user's private folder of the
        host. Others than owner and group may not read it, nor what is `put`.
        """
        ...

    def remove_temporaries(self, folders: str = "") -> None:
        """Remove what killed writers left below this folder, or below those in it that match; of a bucket, on this
        host.

        The temporary file of a writer that is alive, on whatever host, stays.
        """
        ...

    def put(self, temporary: Path) -> None:
        """Make a finished local file appear here, whole, replacing what was here."""
        ...

    def one_writer(self) -> AbstractContextManager[Callable[[Path], None]]:
        """Read this file and then replace it, without losing another writer's change. Gives the `put` to use inside.

        In a folder the second writer waits. A bucket has no locks: there `put` raises PutRefusedError if the object
        has changed since the context was entered, and the retried task reads the new one.
        """
        ...

    def create_hard_link_to(self, source: Place) -> None:
        """Make the content of `source` appear here too, whole; where there are hard links, without a second copy.

        Raises OSError if the file system has no hard links.
        """
        ...

    def copy_to(self, local: Path) -> None:
        """Copy the file to a local path. Raises FileNotFoundError."""
        ...

    def open_parquet(self) -> pq.ParquetFile:
        """Open a Parquet file for reading. Nothing in its path becomes a column."""
        ...

    def let_read(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make a DuckDB connection able to read `url`."""
        ...

    def make_folder(self) -> None:
        """Create the folder unless it exists. A bucket has no folders."""
        ...

    def claim_folder(self) -> bool:
        """Create the folder and return whether it is new: of several who claim it at a time, one is told so.

        In a bucket an object `_claim` stands for the folder.
        """
        ...

    def remove_folder(self) -> None:
        """Remove the folder and everything in it, if it exists."""
        ...

    def remove_empty_folder(self) -> None:
        """Remove the folder if it is empty. A bucket has no folders."""
        ...


def name_within(place: Place, folder: Place) -> str:
    """The name of a place relative to a folder above it, with slashes."""
    return place.url.removeprefix(f"{folder.url}/")


def read_if_there(place: Place) -> bytes | None:
    """The content of a small file, None if there is none. One request, as the file may be replaced meanwhile."""
    try:
        return place.read_bytes()
    except FileNotFoundError:
        return None
