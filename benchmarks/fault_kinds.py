"""What can go wrong between JumpCloud and the published warehouse: one declaration for each kind of fault.

A fault befalls the requests of a route (`do`, of the sandbox), files (`files`), or a task (`during`). Where in a run it
does so is drawn by `faults`, which also says what must come of it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pkgutil import resolve_name
from typing import Any
from unittest import mock

from jumpcloud_elt.core.airflow_compat import AirflowException
from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.core.times import parse_time, utc_now

Json = dict[str, Any]
During = Callable[[random.Random, Callable[..., Any], tuple[Any, ...]], Any]

ROUTES = {
    "organizations": r"^/api/organizations$",
    "users": r"^/api/systemusers$",
    "administrators": r"^/api/users$",
    "roles": r"^/api/v2/roles$",
    "applications": r"^/api/applications$",
    "groups": r"^/api/v2/usergroups$",
    "members": r"/members$",
    "associations": r"/associations$",
    "events": r"/v1/events$",
    "count": r"/events/count$",
    "interval": r"/events/interval$",
    "any request": "",
}
V1, V2 = ("organizations", "users", "administrators", "roles", "applications"), ("groups", "members", "associations")
EVERY_ROUTE = tuple(ROUTES)[:-1]
# How often: a request's retries heal one, the task's next try what a request gave up on, the next run all of it.
ONCE, AGAIN, ALWAYS = "once", "again", "always"

EXTRACTING = ("extract_directory", "extract_events")
BEFORE_RUN, BEFORE_BUILD = "before the run", "before the build"
FILES = {
    "unit": "landing/directory_insights_events/organization_id={id}/date=*/[0-9]*.parquet",
    "snapshot": "landing/[!od]*/organization_id={id}/snapshot_at=*/*.parquet",
    "last file of a snapshot": "landing/organizations/organization_id={id}/snapshot_at=*/*.parquet",
    "manifest": "landing/_runs/*/*.parquet",
    "capabilities": "landing/capabilities/organization_id={id}/*.parquet",
    "roll-up": "rollups/*/*/*.parquet",
    "published file": "warehouse/jumpcloud.duckdb",
    "state file": "warehouse/state/jumpcloud.duckdb",
}


@dataclass(frozen=True)
class Fault:
    """A kind of fault and the places where it may befall a run.

    `do` is the sandbox's for a request; `is_whole`: for every request of the route, or the answer would be as true as
    any other. `files` is a pattern below the data root. `during` makes a task's call, with what goes wrong in it.
    """

    kind: str
    places: Sequence[str]
    do: Mapping[str, Json] | None = None
    is_whole: bool = False
    files: str | None = None
    during: During | None = None
    lasting: Sequence[str] = (ONCE, AGAIN, ALWAYS)


def faults() -> list[Fault]:
    """Every kind of fault."""
    return [*_refusals(), *_answers(), *_lists(), *_files(), *_processes()]


def _on(places: Sequence[str], do: Json) -> dict[str, Json]:
    return dict.fromkeys(places, do)


def _refusals() -> list[Fault]:
    found = []
    for status in (400, 401, 402, 403, 404, 408, 409, 429, 500, 502, 503, 504):
        found.append(Fault(f"{status} of JumpCloud", EVERY_ROUTE, _on(EVERY_ROUTE, {"status": status})))
        page = {"status": status, "html_body": True}
        found.append(Fault(f"{status} of a proxy", EVERY_ROUTE, _on(EVERY_ROUTE, page)))
    for name, seconds in (("soon", "0.01"), ("in an hour", "3600")):
        do = {"status": 429, "headers": {"Retry-After": seconds}}
        found.append(Fault(f"429, to be tried again {name}", EVERY_ROUTE, _on(EVERY_ROUTE, do)))
    revoked = _on(("any request",), {"status": 401})
    return [*found, Fault("key revoked", ("any request",), revoked, lasting=(ALWAYS,))]


def _answers() -> list[Fault]:
    does: dict[str, Json] = {
        "reset before the answer": {"drop_connection": True},
        "connection closed in the body": {"truncate_body": True},
        "JSON cut short": {"body": '{"totalCount": 3, "results": [{"_id": "1'},
        "a proxy's page with 200": {"html_body": True},
        "JSON of another shape": {"body": {"error": "none"}},
        "slow answer": {"latency_ms": 20},
        "no answer in time": {"latency_ms": 900},
        "wrong content encoding": {"headers": {"content-encoding": "gzip"}},
        "302 to the log-in page": {"redirect_to": "/login"},
        "302 to another host": {"redirect_to": "http://127.0.0.2:9/elsewhere"},
    }
    return [Fault(kind, EVERY_ROUTE, _on(EVERY_ROUTE, do)) for kind, do in does.items()]


def _lists() -> list[Fault]:
    lists = (*V1, *V2)
    no_rows = {"body": [], "headers": {"X-Total-Count": "0"}}
    empty = {**_on(V1, {"body": {"totalCount": 0, "results": []}}), **_on(V2, no_rows)}
    # Roles have no guard: a snapshot is whole without them.
    empty = {route: do for route, do in empty.items() if route != "roles"}
    lost = {
        **_on(V1, {"body": {"totalCount": 99, "results": []}}),
        **_on(V2, no_rows | {"headers": {"X-Total-Count": "99"}}),
        "events": {"body": []},
    }
    paged, counted = (*lists, "events"), (*lists, "count")
    group = _on(("groups", "members"), {"mutate": {}})
    return [
        Fault("empty list", tuple(empty), empty, is_whole=True, lasting=(ALWAYS,)),
        Fault("empty page", tuple(lost), lost),
        Fault("short page", paged, _on(paged, {"clamp_limit": 1})),
        Fault("offset ignored", paged, _on(paged, {"ignore_skip": True})),
        Fault("repeated cursor", ("events",), _on(("events",), {"repeat_cursor": True})),
        Fault("total too high", counted, _on(counted, {"wrong_total": 1})),
        Fault("total too low", counted, _on(counted, {"wrong_total": -1})),
        Fault("row twice", paged, _on(paged, {"repeat_row": True})),
        Fault("rows that are null", paged, _on(paged, {"null_rows": 2})),
        # Who is deleted and added, `faults` fills in.
        Fault("users deleted and added meanwhile", ("users",), {"users": {"mutate": {}}}, lasting=(ONCE,)),
        Fault("group deleted meanwhile", tuple(group), group, lasting=(ONCE,)),
    ]  # fmt: skip


def _files() -> list[Fault]:
    places = (BEFORE_RUN, BEFORE_BUILD)
    return [Fault(f"{name} damaged", places, files=pattern, lasting=(ONCE,)) for name, pattern in FILES.items()]


def _processes() -> list[Fault]:
    request = ("jumpcloud_elt.api.client:JumpCloudClient.turn", 6)
    put = ("jumpcloud_elt.core.folder:FolderPath.put", 3)
    make = ("jumpcloud_elt.warehouse.build:make", 30)
    kept = (ONCE, ALWAYS)
    return [
        Fault("killed in extraction", EXTRACTING, during=_killed(*request), lasting=kept),
        Fault("killed in landing", EXTRACTING, during=_killed(*put), lasting=kept),
        Fault("killed in the build", ("build_warehouse",), during=_killed(*make), lasting=kept),
        Fault("killed in publishing", ("publish_warehouse",), during=_killed(put[0], 1), lasting=kept),
        Fault("disk full in landing", EXTRACTING, during=_full_disk(0, 500, 2_000, 4_000), lasting=kept),
        Fault("disk full in the build", ("build_warehouse",), during=_full_disk(0, 20_000, 300_000), lasting=kept),
        Fault("clock: the same second again", EXTRACTING[:1], during=_clock(timedelta()), lasting=(ONCE,)),
        Fault("clock: an hour back", EXTRACTING[:1], during=_clock(-timedelta(hours=1)), lasting=(ONCE,)),
    ]  # fmt: skip


@contextlib.contextmanager
def in_small() -> Iterator[None]:
    """Pages of three rows, and intervals that are cut into slices: a small world has many of both."""
    with (
        mock.patch("jumpcloud_elt.api.pagination.CONSOLE_PAGE_SIZE", 3),
        mock.patch("jumpcloud_elt.extract.slices.ONE_WALK", 20),
        mock.patch("jumpcloud_elt.extract.slices.SLICE_EVENTS", 10),
    ):
        yield


def snapshots_at(organization_id: str) -> list[datetime]:
    """The times of an organization's whole snapshots, in order."""
    folders = read_settings().landing.find_files(f"organizations/organization_id={organization_id}/*/*.parquet")
    return [parse_time(path.parent.name.removeprefix("snapshot_at=")) for path in folders]


def damage(path: Any, way: str) -> None:
    """Leave nothing of a file, half of it, or no file. `way` is one of WAYS."""
    if way == "missing":
        path.unlink()
        return
    path.chmod(0o640)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if way == "cut short" else b"")


WAYS = ("empty", "cut short", "missing")


def _killed(function: str, most: int) -> During:
    """SIGKILL at one of the first `most` calls of a function, before or after it, in a process of its own."""

    def call(draw: random.Random, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        moment = (function, draw.randint(1, most), draw.random() < 0.5)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, task.__module__])
        name = f"{task.__module__}:{task.__qualname__}"
        worker = context.Process(target=_until_killed, args=(dict(os.environ), name, arguments, moment))
        worker.start()
        worker.join()
        assert worker.exitcode == -signal.SIGKILL, f"{moment} of {name}: ended with {worker.exitcode}"
        raise AirflowException(f"the worker was killed in {task.__name__}")

    return call


def _until_killed(
    environment: dict[str, str], task: str, arguments: tuple[Any, ...], moment: tuple[str, int, bool]
) -> None:
    os.environ |= environment
    function, nth, is_after = moment
    calls = 0
    original = resolve_name(function)

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth and not is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    with in_small(), mock.patch(function.replace(":", "."), counted):
        resolve_name(task)(*arguments)


def _full_disk(*limits: int) -> During:
    """No file can be longer than one of `limits`, as on a disk with no more room."""

    def call(draw: random.Random, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (draw.choice(limits), hard))
        try:
            return task(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return call


def _clock(shift: timedelta) -> During:
    """The snapshot begins when the last one did, or so long before."""

    def call(draw: random.Random, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        moments = iter([snapshots_at(arguments[0]["organization_id"])[-1] + shift])

        def now() -> datetime:
            return next(moments, utc_now())

        with mock.patch("jumpcloud_elt.extract.directory.utc_now", now):
            return task(*arguments)

    return call
