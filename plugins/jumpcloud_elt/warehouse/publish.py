"""How a built warehouse becomes the published one, and how a reader gets it.

`publisher` gives the `Publisher` of the data root: `FolderPublisher` for a folder, `pointer.BucketPublisher` for a
bucket. In a folder a warehouse is built in the same folder as the published file and renamed over it:

    warehouse/jumpcloud.duckdb
    warehouse/.<run>.duckdb
    warehouse/state/                 what builds carry on, and what was published last: nobody else's

Does not build and does not check.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Protocol

import duckdb

from jumpcloud_elt.core.folder import FolderPath, for_owner_only, set_mode
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.layout import run_file_name
from jumpcloud_elt.warehouse.files import (
    LAST_GOOD,
    built_by,
    discard_builds,
    discard_file,
    open_file,
    session_log,
    state_file_of,
)
from jumpcloud_elt.warehouse.pointer import BucketPublisher

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """The way from a built file to the published warehouse. `built` is what `hand_over` returned."""

    def building_path(self, run_id: str) -> Path:
        """The local file in which a run builds."""
        ...

    def hand_over(self, target: Path) -> str:
        """Put a built file where the next tasks find it, on whatever host they run; return its name for them."""
        ...

    def local_file(self, built: str) -> Path:
        """The local file of a build. Raises WarehouseError if a bucket no longer has it."""
        ...

    def is_published(self, built: str) -> bool:
        """Whether `built` is already the published warehouse: an earlier try of the task has published it."""
        ...

    def changeable_file(self, built: str) -> Path:
        """A local file of a build that may be changed, with its state, and is then handed over anew."""
        ...

    def publish(self, built: str) -> str:
        """Replace the published warehouse with a built and checked one, read-only; return what readers open.

        What the next build goes on with is in its place before: it is as good whichever warehouse is published.
        """
        ...

    def state_file(self) -> FolderPath | None:
        """A local file that is the state which the last published build has left; None if there is none."""
        ...

    def last_good_file(self) -> FolderPath | None:
        """A local file that is the warehouse as it was last published, which no reader has access to; None likewise."""
        ...

    def discard_state(self) -> None:
        """Remove what builds carry on, and what was published last: the next one begins from landing."""
        ...

    def published_file(self) -> FolderPath | None:
        """A local file that is the published warehouse, to be opened read-only and soon; None if there is none."""
        ...

    def discard(self, built: str) -> None:
        """Remove a build that must not be published."""
        ...

    def discard_unpublished(self) -> None:
        """Remove every build that has not been published, in use or not."""
        ...

    def keep_only_published(self) -> None:
        """Remove previously published warehouses, here and in the bucket: they contain what has been forgotten."""
        ...


def publisher(settings: Settings) -> Publisher:
    """The publisher of the data root. Raises as `open_data_root` does."""
    warehouse = settings.warehouse
    local = warehouse.local_path
    return FolderPublisher(local, settings.warehouse_mode) if local else BucketPublisher(warehouse, settings.data_root)


class FolderPublisher:
    """Publishes by renaming one local file over another, with the `mode` that readers need."""

    def __init__(self, warehouse: Path, mode: int) -> None:
        self._warehouse = FolderPath(warehouse)
        self._state = FolderPath(state_file_of(warehouse))
        self._last_good = self._state.with_name(f"{LAST_GOOD}{warehouse.name}")
        self._mode = mode

    def building_path(self, run_id: str) -> Path:
        return self._warehouse.with_name(f".{run_file_name(run_id)}.duckdb")

    def hand_over(self, target: Path) -> str:
        return str(target)

    def local_file(self, built: str) -> Path:
        return Path(built)

    def is_published(self, built: str) -> bool:
        if Path(built).exists() or not self._warehouse.exists():
            return False
        try:
            return str(self.building_path(built_by(self._warehouse)[0])) == built
        except duckdb.Error:
            return False

    def changeable_file(self, built: str) -> Path:
        return Path(built)

    def publish(self, built: str) -> str:
        with for_owner_only(), self._last_good.temporary() as copy:
            shutil.copyfile(built, copy)
            self._last_good.put(copy)
        state = state_file_of(Path(built))
        # An earlier try may have come as far as this.
        if state.exists():
            self._state.put(state)
        set_mode(Path(built), self._mode)
        self._discard_sessions()
        self._warehouse.put(Path(built))
        return str(self._warehouse)

    def published_file(self) -> FolderPath | None:
        return self._warehouse if self._warehouse.exists() else None

    def state_file(self) -> FolderPath | None:
        return self._state if self._state.exists() else None

    def last_good_file(self) -> FolderPath | None:
        return self._last_good if self._last_good.exists() else None

    def discard_state(self) -> None:
        for file in (self._state, self._last_good):
            file.unlink(missing_ok=True)

    def discard(self, built: str) -> None:
        discard_file(Path(built))

    def discard_unpublished(self) -> None:
        discard_builds(self._warehouse.parent)

    def keep_only_published(self) -> None:
        """Nothing to do: the rename has replaced the previous one."""

    def _discard_sessions(self) -> None:
        """Keep writes to the published file out of the next one, and log them.

        A session that is open continues with the file that is replaced; its log has the name of the new file's.
        """
        left = session_log(self._warehouse)
        if left.exists():
            log.warning("%s: somebody has written to the published warehouse; the new one has nothing of it", left)
            left.unlink(missing_ok=True)
        if self._warehouse.exists():
            try:
                open_file(self._warehouse).close()
            except duckdb.Error as error:
                log.warning(
                    "%s cannot be opened (%s). Where a session has it open for writing, end it: readers are shown what "
                    "it writes until the next publish. Open the warehouse read-only",
                    self._warehouse,
                    error,
                )
