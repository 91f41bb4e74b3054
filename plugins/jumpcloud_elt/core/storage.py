"""Where data lie: in a folder, or under a prefix of an object store; and the few operations that differ there.

A `Place` is a `pathlib.Path` or Airflow's `ObjectStoragePath`, which answer to the same names: `/`, `name`, `parent`,
`exists`, `read_bytes`, `unlink`. What they do not share is here, once, so that no caller asks which of the two it has:

    listing             a folder walked; a store asked for everything under a prefix
    put                 a file synced and renamed into its place; one PUT, which appears whole or not at all
    put_again           a hard link; a copy within the store
    Parquet and DuckDB  by path; through the store's fsspec file system

Knows nothing of landing, of JumpCloud or of what the files hold.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import logging
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from jumpcloud_elt.errors import ConfigurationError

if TYPE_CHECKING:
    import duckdb
    import pyarrow.parquet as pq
    from airflow.sdk import ObjectStoragePath

Place: TypeAlias = "Path | ObjectStoragePath"
STORE_URL = re.compile(r"s3://(?:(?P<conn_id>[^@/\s]+)@)?(?P<bucket>[a-zA-Z0-9][\w.-]+)(?P<prefix>(?:/[^*?\[\]\s]*)?)")
# A PUT with a condition is one request, and S3 takes no more than this at once.
_LARGEST_PUT = 5 * 2**30
# Most files are smaller; of the others columns are read.
_BLOCK = 8 * 2**20
_HELD = ".held.tmp"
_UNMET = ("PreconditionFailed", "ConditionalRequestConflict")


class PutRefusedError(OSError):
    """Somebody else has put something there meanwhile. Not the package's own error: trying again heals it."""


def open_data_root(data_root: Path | str) -> Place:
    """The place that the option `data_root` names: a folder as it is, the URL of an object store looked at first.

    Raises ConfigurationError, naming the option, where the extra, the connection or the bucket is missing or may not
    be used; OSError where the store cannot be reached.
    """
    # What a process has opened is of no use to one that it forks.
    return data_root if isinstance(data_root, Path) else _open_store(data_root, os.getpid())


@functools.lru_cache(maxsize=16)
def _open_store(url: str, _process: int) -> ObjectStoragePath:
    from airflow.sdk import ObjectStoragePath  # noqa: PLC0415, not for those who have a folder
    from airflow.sdk.io import has_fs  # noqa: PLC0415

    def refused(why: str) -> ConfigurationError:
        return ConfigurationError(f"data_root: {url!r} given; {why}")

    missing = "an object store needs this package's extra `s3` (apache-airflow-providers-amazon[s3fs])"
    named = STORE_URL.fullmatch(url)
    if not named:
        raise refused("allowed: s3://bucket/prefix, or s3://connection-id@bucket/prefix")
    if not has_fs("s3"):
        raise refused(missing)
    if named["conn_id"]:
        _require_connection(named["conn_id"], refused)
    root = ObjectStoragePath(url.rstrip("/"), use_listings_cache=False)
    try:
        _set_up(root.fs)
        prefix = named["prefix"].strip("/")
        root.fs.call_s3("list_objects_v2", Bucket=named["bucket"], Prefix=prefix, MaxKeys=1)
    except ImportError as error:
        raise refused(missing) from error
    except FileNotFoundError as error:
        raise refused(f"there is no bucket {named['bucket']!r} ({error}); allowed: one that exists") from error
    except PermissionError as error:
        raise refused(
            f"the bucket {named['bucket']!r} may not be listed ({error}); allowed: credentials that may list, read, "
            "write and delete there"
        ) from error
    except Exception as error:
        # botocore's own errors have no base that is there without the extra.
        if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
            raise refused(f"{error}; allowed: s3://connection-id@bucket/prefix, or AWS_* variables") from error
        raise ConnectionError(f"data_root: {url!r} given; it cannot be reached: {error}") from error
    return root


def _set_up(store: Any) -> None:
    # A listing that is remembered hides what other workers have put.
    store.dircache.use_listings_cache = False
    # Parquet is read from its end: a cache that only reads ahead would fetch a small file three times.
    store.default_cache_type, store.default_block_size = "blockcache", _BLOCK
    # It tells of every block.
    logging.getLogger("fsspec.caching").setLevel(logging.WARNING)


def _require_connection(conn_id: str, refused: Any) -> None:
    from airflow.sdk import BaseHook  # noqa: PLC0415
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415

    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        # Airflow's own S3 hook would go on with whatever credentials the machine has.
        raise refused(f"there is no connection {conn_id!r}; allowed: the id of an Amazon Web Services one") from error


def url_of(place: Place) -> str:
    """What DuckDB and other clients call a place: a path, or an URL without the connection."""
    return str(place) if isinstance(place, Path) else f"{place.protocol}://{place.path}"


def quote(text: Place | str) -> str:
    """A place or id as an SQL literal, where a parameter cannot stand."""
    return "'" + (text if isinstance(text, str) else url_of(text)).replace("'", "''") + "'"


def name_within(place: Place, folder: Place) -> str:
    """The name of a place relative to a folder above it, with slashes."""
    if isinstance(place, Path):
        return place.relative_to(str(folder)).as_posix()
    return str(place.path).removeprefix(f"{folder.path}/")  # type: ignore[union-attr]


def find_files(folder: Place, pattern: str) -> list[Place]:
    """The files under `folder` whose names relative to it match, in order.

    `*` stands for anything but a slash, `**` for any number of folders.
    """
    if isinstance(folder, Path):
        return sorted(path for path in folder.glob(pattern) if not path.is_dir())
    found = _find_keys(folder.fs, str(folder.path), pattern.split("/"))
    return [folder / key.removeprefix(f"{folder.path}/") for key in sorted(found, key=lambda key: key.split("/"))]


def find_versions(folder: Place, pattern: str) -> dict[str, str]:
    """The files that `find_files` finds, by name relative to `folder`, and what tells one content from the next.

    Opens none, and asks a store once.
    """
    if isinstance(folder, Path):
        found = {path.relative_to(folder).as_posix(): path.stat() for path in folder.glob(pattern)}
        return {name: f"{stat.st_size}-{stat.st_mtime_ns}" for name, stat in found.items()}
    objects = folder.fs.find(folder.path, detail=True)
    names = {key.removeprefix(f"{folder.path}/"): info for key, info in objects.items()}
    return {name: info["ETag"] for name, info in names.items() if _matches(name.split("/"), pattern.split("/"))}


def _find_keys(store: Any, prefix: str, pattern: list[str]) -> list[str]:
    """Ask for no more than the pattern names: a store lists a prefix, and a landing is large."""
    head, *rest = pattern
    if rest and "*" not in head:
        return _find_keys(store, f"{prefix}/{head}", rest)
    if rest and head != "**" and any("*" not in part for part in rest):
        folders = _list_folders(store, prefix)
        matching = [one for one in folders if fnmatchcase(one.rsplit("/", 1)[-1], head)]
        return [key for folder in matching for key in _find_keys(store, folder, rest)]
    keys: list[str] = store.find(prefix)
    return [key for key in keys if key != prefix and _matches(key.removeprefix(f"{prefix}/").split("/"), pattern)]


def _list_folders(store: Any, prefix: str) -> list[str]:
    try:
        return [one["name"] for one in store.ls(prefix, detail=True) if one["type"] == "directory"]
    except FileNotFoundError:
        return []


def _matches(parts: list[str], pattern: list[str]) -> bool:
    if not pattern or not parts:
        return not pattern and not parts
    if pattern[0] == "**":
        return _matches(parts, pattern[1:]) or _matches(parts[1:], pattern)
    return fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


@contextlib.contextmanager
def temporary_for(place: Place) -> Iterator[Path]:
    """A local path for a file that will be `put` to `place`; what is left of it is removed.

    In a folder it lies beside, where a rename can move it; its name begins with a dot and does not end in `.parquet`,
    and no reader takes it for a file of landing. For a store it lies where temporary files do, closed to others.
    """
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)
    else:
        with tempfile.TemporaryDirectory(prefix="jumpcloud_elt-") as folder:
            yield Path(folder, place.name)


@contextlib.contextmanager
def locked_temporary_for(place: Place) -> Iterator[Path]:
    """As `temporary_for`, for what takes long to write: what killed writers have left in the folder is removed.

    A writer holds a lock on its file, which ends with its process: what can be locked is nobody's.
    """
    with temporary_for(place) as temporary:
        if not isinstance(place, Path):
            yield temporary
            return
        for left in place.parent.glob(f".*{_HELD}"):
            _remove_unless_held(left)
        # Locked before it has the name by which others look for what is left.
        held = temporary.with_name(f"{temporary.stem}{_HELD}")
        lock = os.open(temporary, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            temporary.rename(held)
            yield held
        finally:
            held.unlink(missing_ok=True)
            os.close(lock)


def _remove_unless_held(left: Path) -> None:
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        lock = os.open(left, os.O_RDWR)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()
        finally:
            os.close(lock)


def put(temporary: Path, place: Place, *, version: str | None = None) -> None:
    """Make a finished local file appear at `place`, whole, replacing what was there.

    `version` is what `version_of` said of a place in a store: PutRefusedError is raised where it has changed since.
    """
    if isinstance(place, Path):
        with temporary.open("rb") as written:
            # A rename may survive a power cut that the data before it did not.
            os.fsync(written.fileno())
        temporary.replace(place)
        return
    condition: dict[str, Any] = {}
    if version is not None:
        condition = {"IfMatch": version, "chunksize": _LARGEST_PUT} if version else {"mode": "create"}
    try:
        place.fs.put_file(str(temporary), place.path, **condition)
    except FileExistsError as error:
        raise PutRefusedError(f"{place} has been written meanwhile") from error
    except OSError as error:
        if version and any(code in str(error.__cause__) for code in _UNMET):
            raise PutRefusedError(f"{place} has been written meanwhile") from error
        raise


def version_of(place: ObjectStoragePath) -> str:
    """What a store calls the present content of a place; empty where there is none."""
    try:
        return str(place.fs.info(place.path)["ETag"])
    except FileNotFoundError:
        return ""


def create_hard_link(source: Place, place: Place) -> None:
    """Make what is at `source` appear at `place` too, whole: without a second copy where a file system has links.

    Raises OSError where it has none.
    """
    if isinstance(source, Path) and isinstance(place, Path):
        with temporary_for(place) as temporary:
            os.link(source, temporary)
            put(temporary, place)
    else:
        place.fs.cp_file(source.path, place.path)  # type: ignore[union-attr]


def identity_of(place: Place) -> tuple[object, ...]:
    """Equal for places that hold one and the same content: hard links of a file, equal objects of a store."""
    if isinstance(place, Path):
        stat = place.stat()
        # Numbers of files are used again; not with the same size and time.
        return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
    info = place.fs.info(place.path)
    return info["ETag"], info["size"]


def make_folder(folder: Place) -> None:
    """Make a folder be there. A store has none to make."""
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)


def claim_folder(folder: Place) -> bool:
    """Make a folder, and say whether nobody else had; of a store, whether nothing lies there yet."""
    if not isinstance(folder, Path):
        return not find_files(folder, "*")
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def remove_folder(folder: Place) -> None:
    """Remove a folder with all that is in it, as far as it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            folder.fs.rm(folder.path, recursive=True)


def remove_empty_folder(folder: Place) -> None:
    """Remove a folder that holds nothing. A store has no folders, only names with slashes."""
    if isinstance(folder, Path):
        with contextlib.suppress(OSError):
            folder.rmdir()


def read_if_there(place: Place) -> bytes | None:
    """The content of a small file, None where there is none; in one request, for it may be replaced meanwhile."""
    try:
        return place.read_bytes() if isinstance(place, Path) else bytes(place.fs.cat_file(place.path))
    except FileNotFoundError:
        return None


def open_parquet(place: Place) -> pq.ParquetFile:
    """A Parquet file to read; nothing in its path becomes a column."""
    import pyarrow.parquet as pq  # noqa: PLC0415, Airflow parses Dags without it

    if isinstance(place, Path):
        return pq.ParquetFile(place)
    return pq.ParquetFile(place.path, filesystem=place.fs)


def let_read(connection: duckdb.DuckDBPyConnection, place: Place) -> None:
    """Make a DuckDB connection read what lies at `place`: a store through fsspec, with the store's credentials.

    DuckDB's own `httpfs` is a download, and would want the credentials a second time.
    """
    if isinstance(place, Path):
        return
    if "s3" not in connection.list_filesystems():
        connection.register_filesystem(place.fs)
    # Files are replaced under their names; a store's times are in whole seconds.
    connection.execute("set enable_external_file_cache = false")
