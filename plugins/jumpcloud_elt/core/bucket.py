"""Storage in a bucket: keys of an S3 object store with the operations of `storage.Place`, through fsspec."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from fsspec.utils import glob_translate

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.host import private_folder
from jumpcloud_elt.core.storage import Place, PutRefusedError

if TYPE_CHECKING:
    import duckdb

# A PUT with a condition is one request, and S3 accepts no more than this in one request.
_LARGEST_PUT = 5 * 2**30
_UNMET = ("PreconditionFailed", "ConditionalRequestConflict")
_NEW = {"mode": "create"}
_CLAIM = "_claim"


@dataclass(frozen=True)
class BucketPath:
    """A key of a bucket, as a `Place`: `path` is bucket and key with slashes, as `fs` takes it."""

    fs: Any = field(repr=False, compare=False)
    conn_id: str | None
    path: str

    def __str__(self) -> str:
        return f"s3://{f'{self.conn_id}@' if self.conn_id else ''}{self.path}"

    def __truediv__(self, name: str) -> BucketPath:
        return self._at(f"{self.path}/{name}")

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return self.name.rpartition(".")[0] or self.name

    @property
    def parent(self) -> BucketPath:
        return self._at(self.path.rpartition("/")[0])

    @property
    def url(self) -> str:
        return f"s3://{self.path}"

    @property
    def local_path(self) -> None:
        return None

    def with_name(self, name: str) -> BucketPath:
        return self.parent / name

    def exists(self) -> bool:
        return bool(self.fs.exists(self.path))

    def read_bytes(self) -> bytes:
        return bytes(self.fs.cat_file(self.path))

    def unlink(self, missing_ok: bool = False) -> None:
        if not missing_ok:
            # S3 answers the same whether it had the object or not.
            self.fs.info(self.path)
        self.fs.rm_file(self.path)

    def find_files(self, pattern: str) -> list[Place]:
        # By folder, then by name, as paths are sorted.
        return [self / name for name in sorted(self._find(pattern), key=lambda name: name.split("/"))]

    def find_versions(self, pattern: str) -> dict[str, str]:
        return {name: info["ETag"] for name, info in self._find(pattern).items()}

    def _find(self, pattern: str) -> dict[str, Any]:
        """By relative name, what the store says of each object. Lists only keys that begin as the pattern does."""
        folder, _, prefix = re.split(r"[*?[]", pattern, maxsplit=1)[0].rpartition("/")
        objects = self.fs.find((self / folder).path if folder else self.path, prefix=prefix, detail=True)
        matches = re.compile(glob_translate(pattern)).match
        names = {key.removeprefix(f"{self.path}/"): info for key, info in objects.items() if key != self.path}
        return {name: info for name, info in names.items() if matches(name)}

    def identity(self) -> tuple[object, ...]:
        info = self.fs.info(self.path)
        return info["ETag"], info["size"]

    def temporary(self) -> contextlib.AbstractContextManager[Path]:
        return FolderPath(private_folder(), self.name).temporary()

    def remove_temporaries(self, folders: str = "") -> None:
        # Never uploaded: they lie on the hosts that wrote them.
        private_folder().remove_temporaries()

    def put(self, temporary: Path) -> None:
        self._put({}, temporary)

    @contextlib.contextmanager
    def one_writer(self) -> Iterator[Callable[[Path], None]]:
        try:
            condition = {"IfMatch": self.fs.info(self.path)["ETag"], "chunksize": _LARGEST_PUT}
        except FileNotFoundError:
            condition = _NEW
        yield functools.partial(self._put, condition)

    def _put(self, condition: dict[str, Any], temporary: Path) -> None:
        try:
            self.fs.put_file(str(temporary), self.path, **condition)
        except FileExistsError as error:
            raise PutRefusedError(f"{self} has been written meanwhile") from error
        except OSError as error:
            if condition and any(code in str(error.__cause__) for code in _UNMET):
                raise PutRefusedError(f"{self} has been written meanwhile") from error
            raise

    def create_hard_link_to(self, source: Place) -> None:
        self.fs.cp_file(source.url, self.path)

    def copy_to(self, local: Path) -> None:
        self.fs.get_file(self.path, str(local))

    def open_parquet(self) -> pq.ParquetFile:
        return pq.ParquetFile(self.path, filesystem=self.fs)

    def let_read(self, connection: duckdb.DuckDBPyConnection) -> None:
        # DuckDB's own `httpfs` is a download, and would need the credentials a second time.
        if "s3" not in connection.list_filesystems():
            connection.register_filesystem(self.fs)
        # Objects are replaced under their names, and a store's times are in whole seconds.
        connection.execute("set enable_external_file_cache = false")

    def make_folder(self) -> None:
        """Nothing to do: a bucket has no folders."""

    def claim_folder(self) -> bool:
        claim = self / _CLAIM
        with claim.temporary() as empty:
            try:
                claim._put(_NEW, empty)
            except PutRefusedError:
                return False
        return True

    def remove_folder(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.path, recursive=True)

    def remove_empty_folder(self) -> None:
        """Nothing to do: a bucket has no folders."""

    def _at(self, path: str) -> BucketPath:
        return BucketPath(self.fs, self.conn_id, path)
