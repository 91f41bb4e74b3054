"""Opens the storage that the option `data_root` names: a folder, or a bucket of an S3 object store."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.errors import ConfigurationError

if TYPE_CHECKING:
    from jumpcloud_elt.core.bucket import BucketPath

STORE_URL = re.compile(r"s3://(?:(?P<conn_id>[^@/\s]+)@)?(?P<bucket>[a-zA-Z0-9][\w.-]+)(?P<prefix>(?:/[^*?\[\]\s]*)?)")
# Most files are smaller; of larger ones only some columns are read.
_BLOCK = 8 * 2**20


def open_data_root(data_root: Path | str) -> Place:
    """The folder or bucket that the option `data_root` names. A bucket is checked when it is first opened.

    Raises ConfigurationError, naming the option, if the extra, the connection or the bucket is missing or may not be
    used; OSError if the store cannot be reached.
    """
    # A forked process cannot use the connections of its parent.
    return FolderPath(data_root) if isinstance(data_root, Path) else _open_bucket(data_root, os.getpid())


@functools.lru_cache(maxsize=16)
def _open_bucket(url: str, _process: int) -> BucketPath:
    # None of these is needed for a folder.
    from airflow.sdk.io import attach, has_fs  # noqa: PLC0415

    from jumpcloud_elt.core.bucket import BucketPath  # noqa: PLC0415

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
    try:
        fs = attach("s3", named["conn_id"]).fs
        _set_up(fs)
        prefix = named["prefix"].strip("/")
        fs.call_s3("list_objects_v2", Bucket=named["bucket"], Prefix=prefix, MaxKeys=1)
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
    return BucketPath(fs, named["conn_id"], f"{named['bucket']}{named['prefix']}".rstrip("/"))


def _set_up(fs: Any) -> None:
    # A cached listing hides what other workers have put.
    fs.dircache.use_listings_cache = False
    # Parquet is read from its end: a cache that only reads ahead would fetch a small file three times.
    fs.default_cache_type, fs.default_block_size = "blockcache", _BLOCK
    # It logs every block.
    logging.getLogger("fsspec.caching").setLevel(logging.WARNING)


def _require_connection(conn_id: str, refused: Callable[[str], ConfigurationError]) -> None:
    from airflow.sdk import BaseHook  # noqa: PLC0415

    from jumpcloud_elt.core.airflow_compat import AirflowNotFoundException  # noqa: PLC0415

    try:
        BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        # Airflow's own S3 hook would go on with whatever credentials the machine has.
        raise refused(f"there is no connection {conn_id!r}; allowed: the id of an Amazon Web Services one") from error
