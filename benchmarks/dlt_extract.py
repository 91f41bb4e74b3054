"""The events of one interval to Parquet with dlt: its RESTClient, its pipeline, its defaults.

Run by `benchmarks.peer_dlt` in an environment that has dlt and nothing of this package. dlt's own cursor paginator
cannot put `search_after` into a body; that is all that is added.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pyarrow.parquet as pq
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from requests import Request, Response

from benchmarks.measuring import report


class SearchAfterPaginator(BasePaginator):
    """Directory Insights' cursor: from a header of each answer into the body of the next request."""

    def __init__(self) -> None:
        super().__init__()
        self._cursor: Any = None

    def update_state(self, response: Response, data: list[Any] | None = None) -> None:
        self._has_next_page = response.headers["X-Result-Count"] == response.headers["X-Limit"]
        self._cursor = json.loads(response.headers["X-Search_after"])

    def update_request(self, request: Request) -> None:
        request.json = {**request.json, "search_after": self._cursor}


def extract(url: str, key: str, organization_id: str, body: dict[str, Any], folder: Path) -> tuple[int, int]:
    """Extract, normalize and load into `folder`; return the number of events and of bytes."""
    client = RESTClient(
        f"{url}/insights/directory/v1", headers={"x-api-key": key, "x-org-id": organization_id}, data_selector="$"
    )

    @dlt.resource(name="events")
    def events() -> Iterator[Any]:
        yield from client.paginate("/events", method="POST", json=body, paginator=SearchAfterPaginator())

    pipeline = dlt.pipeline(
        "peer",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.filesystem(str(folder / "out")),
        dataset_name="insights",
    )
    pipeline.run(events(), loader_file_format="parquet").raise_on_failed_jobs()
    files = list((folder / "out" / "insights" / "events").rglob("*.parquet"))
    return sum(pq.read_metadata(file).num_rows for file in files), sum(
        file.stat().st_size for file in (folder / "out").rglob("*.parquet")
    )


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    given["folder"] = Path(given["folder"])
    report(lambda: extract(**given), on_one_core=False)
