"""A list as a file to download, with the filters of its address.

The file is whole before the first byte is sent: a slow download keeps no warehouse open.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Any

from fastapi.responses import StreamingResponse

from jumpcloud_elt.dashboard.lists import ListQuery
from jumpcloud_elt.dashboard.queries import Parameters, open_for_request
from jumpcloud_elt.export import FORMATS, SAAS_IMPORT, write_csv, write_parquet, write_saas_import

# A list of millions takes a core for half a minute: who comes third waits, and the pages keep the other core.
_turns = threading.BoundedSemaphore(2)
IN_MEMORY_BYTES = 4_000_000
CHUNK_BYTES = 262_144

DOWNLOAD_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
}


def download(dataset: str, form: str, listing: ListQuery, parameters: Parameters) -> StreamingResponse:
    """A data set in a format of `export`, as an attachment."""
    file: Any = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)  # noqa: SIM115 - closed when it has been sent
    try:
        with _turns, open_for_request() as warehouse:
            if form == SAAS_IMPORT:
                write_saas_import(warehouse.connection, parameters, file)
            elif form == "parquet":
                write_parquet(warehouse.connection, dataset, parameters, file, order=listing.order)
            else:
                write_csv(warehouse.connection, dataset, parameters, file, order=listing.order, is_for_spreadsheet=True)
            name = f"jumpcloud-{dataset}-{warehouse.built_at:%Y%m%d}.{FORMATS[form]}"
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    return StreamingResponse(
        _chunks(file),
        media_type=DOWNLOAD_TYPES[FORMATS[form]],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(size)},
    )


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
