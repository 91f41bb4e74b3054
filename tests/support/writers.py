"""Writers in processes of their own, which can be killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_WRITER = """
import sys
from jumpcloud_elt.core.folder import FolderPath
with FolderPath(sys.argv[1]).temporary() as temporary:
    temporary.write_text(sys.argv[2])
    print(temporary, flush=True)
    sys.stdin.read()
"""


@dataclass
class Writer:
    """A process that is writing the file `temporary`."""

    process: subprocess.Popen[str]
    temporary: Path

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def writing(path: Path, text: str) -> Iterator[Writer]:
    """A process that has written `text` and has not put it at `path`; ended on leaving."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout
    try:
        yield Writer(process, Path(process.stdout.readline().rstrip("\n")))
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()
