"""Landing Directory Insights events: this package beside other ways, in speed, CPU and memory.

    python -m benchmarks.land_events [--quick] [--runs N]

Part A decodes and writes pages that lie in files: events of a kilobyte, 10,000 a page. Part B is `land_unit` over
HTTP against the sandbox, whose process does not count. Everything runs in the same session, a process each, on one
core each; read the ratios, for the absolute numbers are the machine's. Ratios are of events per CPU second: wall time
also says what else the machine was doing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path

from benchmarks.measuring import Usage, machine, median, report, run_alone, run_child, spread, table
from jumpcloud_sandbox.client import Sandbox

PAGE_SIZE = 10_000
ORGANIZATION_ID = "5f0000000000000000000001"
DAY = (datetime(2026, 11, 20), datetime(2026, 11, 21))
NOW = "2026-11-22T00:00:00Z"
API_KEY = "benchmark-key"
PACKAGE = "this package: msgspec, whole payload"
END_TO_END = "end to end"
VERSIONS = ("msgspec", "pyarrow", "pandas", "duckdb", "apache-airflow")
# The key columns of the package, as DuckDB declares them.
_ACTOR = "STRUCT(id VARCHAR, type VARCHAR, username VARCHAR, email VARCHAR)"
_APPLICATION = "STRUCT(id VARCHAR, name VARCHAR, display_label VARCHAR, sso_type VARCHAR)"
_COLUMNS = {
    "id": "VARCHAR",
    "event_type": "VARCHAR",
    "service": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "success": "BOOLEAN",
    "sso_token_success": "BOOLEAN",
    "initiated_by": _ACTOR,
    "resource": _ACTOR,
    "application": _APPLICATION,
}


# ---- contestants: each runs in a process of its own, imports first --------------------------------------------


def json_alone(pages: list[Path], folder: Path) -> None:
    """The floor of anything that goes through Python dictionaries; writes nothing."""

    def work() -> tuple[int, int]:
        return sum(len(json.loads(page.read_bytes())) for page in pages), 0

    report(work)


def pandas_normalize(pages: list[Path], folder: Path) -> None:
    """What most scripts do: flatten with pandas, let it infer the schema, a file for each page."""
    import pandas as pd
    import pyarrow.parquet  # noqa: F401 - what to_parquet imports

    def work() -> tuple[int, int]:
        events = 0
        for page in pages:
            frame = pd.json_normalize(json.loads(page.read_bytes()))
            frame.to_parquet(folder / f"{page.stem}.parquet", compression="zstd")
            events += len(frame)
        return events, _size(folder)

    report(work)


def package(pages: list[Path], folder: Path) -> None:
    """The package's own `decode_page` and writer: declared key columns, the payload as received, secrets cut."""
    import pandas  # noqa: F401 - pyarrow imports it with its first array

    from jumpcloud_elt.extract.event_pages import decode_page
    from jumpcloud_elt.landing.units import open_writer

    def work() -> tuple[int, int]:
        events = 0
        with open_writer(folder / "unit.parquet") as writer:
            for page in pages:
                batch = decode_page(page.read_bytes(), ("jumpcloud_default", DAY[1], *DAY))
                writer.write_batch(batch)
                events += batch.num_rows
        return events, _size(folder)

    report(work)


def duckdb_columns(pages: list[Path], folder: Path) -> None:
    """DuckDB with declared columns: what is not declared is lost, and no secret is looked for."""
    _duckdb(
        f"SELECT * FROM read_json($pages, format = 'array', columns = {_COLUMNS})",
        pages,
        folder,
    )


def duckdb_payload(pages: list[Path], folder: Path) -> None:
    """DuckDB with the whole payload beside the same columns; no secret is looked for."""
    keys = [f"(json ->> '$.{name}')::{kind} AS {name}" for name, kind in _COLUMNS.items() if kind[:6] != "STRUCT"]
    keys += [
        f"json ->> '$.{name}.{field.split()[0]}' AS {name}_{field.split()[0]}"
        for name, kind in _COLUMNS.items()
        if kind[:6] == "STRUCT"
        for field in kind[7:-1].split(", ")
    ]
    _duckdb(
        f"SELECT {', '.join(keys)}, json::VARCHAR AS payload FROM read_json_objects($pages, format = 'array')",
        pages,
        folder,
    )


def _duckdb(query: str, pages: list[Path], folder: Path) -> None:
    import duckdb

    def work() -> tuple[int, int]:
        with duckdb.connect(config={"threads": 1}) as connection:
            [(events,)] = connection.execute(
                f"COPY ({query}) TO '{folder / 'unit.parquet'}' (FORMAT parquet, COMPRESSION zstd)",
                {"pages": [str(page) for page in pages]},
            ).fetchall()
        return events, _size(folder)

    report(work)


def land(url: str, folder: Path, *, on_one_core: bool = True) -> None:
    """One unit through the package, from the first request to the published file."""
    os.environ |= {
        "AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT": str(folder),
        "AIRFLOW_CONN_JUMPCLOUD_DEFAULT": json.dumps({"conn_type": "jumpcloud", "host": url, "password": API_KEY}),
    }
    import pandas  # noqa: F401 - pyarrow imports it with its first array

    from jumpcloud_elt.connections.client import open_client
    from jumpcloud_elt.core.organization import Organization
    from jumpcloud_elt.core.settings import read_settings
    from jumpcloud_elt.extract.events import land_unit

    settings = read_settings()
    organization = Organization(
        connection_id="jumpcloud_default",
        organization_id=ORGANIZATION_ID,
        organization_name="Benchmark",
        payload="{}",
        error=None,
    )

    def work() -> tuple[int, int]:
        with open_client("jumpcloud_default", settings) as client:
            outcome = land_unit(client, organization, DAY, settings)
        assert outcome.rows is not None
        assert outcome.received == outcome.api_total == outcome.rows
        return outcome.rows, _size(folder)

    report(work, on_one_core=on_one_core)


DECODERS: dict[str, Callable[[list[Path], Path], None]] = {
    PACKAGE: package,
    "json.loads alone, nothing written": json_alone,
    "json.loads, pandas.json_normalize, to_parquet": pandas_normalize,
    "DuckDB read_json, declared columns only": duckdb_columns,
    "DuckDB read_json_objects, whole payload": duckdb_payload,
}


def render(count: int, folder: Path) -> None:
    """The sandbox's synthetic events as page files; in a process of its own, to keep the parent small."""
    from jumpcloud_sandbox.synthetic import SyntheticEvents
    from jumpcloud_sandbox.world import normalise

    [organization] = normalise(world(count))["organizations"]
    selection = SyntheticEvents(organization).select(frozenset({"directory", "sso"}))
    for number, first in enumerate(range(0, count, PAGE_SIZE)):
        rows = selection.rows(first, min(first + PAGE_SIZE, count))
        (folder / f"{number:05d}.json").write_bytes(b"[" + b",".join(rows) + b"]")


# ---- the two parts --------------------------------------------------------------------------------------------


def compare_decoding(count: int, runs: int, environment: dict[str, str]) -> str:
    """Part A: every contestant in every round, so that all of them share the machine's moods."""
    usages: dict[str, list[Usage]] = {name: [] for name in DECODERS}
    with tempfile.TemporaryDirectory(prefix="bench-pages-") as pages:
        run_child("render", {"count": count, "folder": pages}, environment)
        for _ in range(runs):
            for name, measured in usages.items():
                with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                    measured.append(run_alone(name, {"pages": pages, "folder": folder}, environment))
    ours = median(usages[PACKAGE])
    rows = [
        [
            name,
            f"{one.events_per_cpu_second / ours.events_per_cpu_second:.2f}",
            *_numbers(one, measured),
            f"{one.bytes_written / one.events:.0f}" if one.bytes_written else "",
        ]
        for name, measured, one in ((name, measured, median(measured)) for name, measured in usages.items())
    ]
    header = [f"A: {count:,} events, decoded and written", "ratio", *_NUMBERS, "B/event"]
    return table(header, rows)


def compare_sizes(counts: Iterable[int], runs: int, environment: dict[str, str]) -> str:
    """Part B: `land_unit` over one interval with few and with many events."""
    usages: dict[int, list[Usage]] = {count: [] for count in counts}
    for _ in range(runs):
        for count, measured in usages.items():
            with (
                Sandbox.start(world(count), now=NOW) as sandbox,
                tempfile.TemporaryDirectory(prefix="bench-") as folder,
            ):
                measured.append(run_alone(END_TO_END, {"url": sandbox.url, "folder": folder}, environment))
    few = median(usages[min(usages)])
    rows = [
        [
            f"{count:,} events",
            f"{one.events_per_cpu_second / few.events_per_cpu_second:.2f}",
            *_numbers(one, measured),
        ]
        for count, measured, one in ((count, measured, median(measured)) for count, measured in usages.items())
    ]
    return table(["B: one unit end to end, server excluded", "ratio", *_NUMBERS], rows)


_NUMBERS = ("events/CPU s", "noise", "events/s", "CPU s", "MB at start", "peak MB")


def _numbers(one: Usage, measured: list[Usage]) -> list[str]:
    return [
        f"{one.events_per_cpu_second:,.0f}",
        spread(measured),
        f"{one.events_per_second:,.0f}",
        f"{one.cpu_seconds:.1f}",
        f"{one.start_mb:.0f}",
        f"{one.peak_mb:.0f}",
    ]


def world(count: int, **plan: object) -> dict[str, object]:
    """One organization with so many events, spread over DAY."""
    start, end = (f"{moment.isoformat()}Z" for moment in DAY)
    events = {"count": count, "start": start, "end": end, "users": 2_000, "applications": 60, **plan}
    return {
        "organizations": [{"id": ORGANIZATION_ID, "displayName": "Benchmark", "synthetic_events": events}],
        "keys": [{"key": API_KEY, "organizations": [ORGANIZATION_ID]}],
    }


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))


# ---- command line ---------------------------------------------------------------------------------------------


def clean_environment(home: str, *, is_alone: bool = True) -> dict[str, str]:
    """Ours without any Airflow configuration: what is measured is the package's defaults. Alone: for one core."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    threads = {"OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"}
    return kept | (threads if is_alone else {}) | {"AIRFLOW_HOME": home, "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING"}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.land_events", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="once, 100,000 events at most")
    parser.add_argument("--runs", type=int, help="rounds, of which the medians are shown (3; quick: 1)")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args()


def _run_contestant(name: str, arguments: dict[str, str]) -> None:
    folder = Path(arguments["folder"])
    if name == "render":
        render(int(arguments["count"]), folder)
    elif name == END_TO_END:
        land(arguments["url"], folder)
    else:
        DECODERS[name](sorted(Path(arguments["pages"]).glob("*.json")), folder)


def main() -> int:
    """Run both parts and print a table for each."""
    options = _options()
    if options.contestant:
        _run_contestant(options.contestant, options.arguments)
        return 0
    runs = options.runs or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory(prefix="bench-airflow-") as home:
        environment = clean_environment(home)
        print(f"{machine(*VERSIONS)}; medians of {runs}\n", flush=True)
        print(compare_decoding(100_000 if options.quick else 300_000, runs, environment), flush=True)
        counts = (10_000, 100_000) if options.quick else (100_000, 1_000_000)
        print(f"\n{compare_sizes(counts, runs, environment)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
