"""What this host keeps for itself: a folder under TMPDIR that is one user's alone, and in it what DuckDB spills."""

from __future__ import annotations

import atexit
import functools
import os
import stat
import tempfile

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.errors import ConfigurationError


def private_folder() -> FolderPath:
    """The user's folder under TMPDIR. Raises ConfigurationError where others may enter it."""
    folder = FolderPath(tempfile.gettempdir(), f"jumpcloud_elt-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigurationError(f"{folder} is not a folder of this user's alone: remove it, or set TMPDIR.")
    return folder


def spill_folder() -> FolderPath:
    """Where this process's queries go that need more memory than they get; gone with the process."""
    return _spill_folder(os.getpid())


@functools.cache
def _spill_folder(process: int) -> FolderPath:
    top = private_folder()
    # A process that is killed, or forked, removes nothing.
    top.remove_temporaries()
    held = (top / "spill").temporary_folder()
    folder = held.__enter__()

    @atexit.register
    def remove() -> None:
        if os.getpid() == process:
            held.__exit__(None, None, None)

    return folder
