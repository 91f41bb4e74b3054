"""What a build costs when a day is new, over histories of many events and over histories of many files.

    python -m benchmarks.rollup_build [--part events|files] [--size 0.01] [--folder FOLDER]

The history is written straight into files: Parquet with short payloads, manifests, one snapshot per organization.
Each build manifests in a process of its own, from the start of the build to the published file. The whole takes half an
hour and 10 GB; `--size` less of everything.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

# Airflow reads it when it is first imported; builds have one of their own.
_HOME = tempfile.TemporaryDirectory(prefix="jumpcloud-elt-bench-", ignore_cleanup_errors=True)
os.environ.setdefault("AIRFLOW_HOME", _HOME.name)

import duckdb  # noqa: E402
import pyarrow as pa  # noqa: E402

from benchmarks.measuring import MB, machine, table  # noqa: E402
from jumpcloud_elt.core.folder import FolderPath  # noqa: E402
from jumpcloud_elt.core.organization import Organization  # noqa: E402
from jumpcloud_elt.core.storage import Place, name_within  # noqa: E402
from jumpcloud_elt.core.streams import DIRECTORY_STREAMS, LINEAGE_FIELDS  # noqa: E402
from jumpcloud_elt.landing.files import METADATA_KEY, write_table  # noqa: E402
from jumpcloud_elt.landing.layout import snapshot_path, unit_path  # noqa: E402
from jumpcloud_elt.landing.manifests import MANIFEST_SCHEMA, OK, Outcome, RunManifest, failure  # noqa: E402
from jumpcloud_elt.tasks import warehouse  # noqa: E402

FIRST_DAY = datetime(2023, 1, 1)
DAY = timedelta(days=1)
HISTORY_DAYS = 90
USERS, APPLICATIONS = 2_000, 25
SMALL_USERS, SMALL_APPLICATIONS, SMALL_EVENTS = 8, 4, 20
_KILOBYTES = 1 if sys.platform == "darwin" else 1024

# The same users and applications every day, one event in eight a portal's, one in twelve failed.
EVENTS = """
select
    lpad(to_hex({first} + i), 24, '0') as event_id,
    if(i % 8 = 0, 'user_login_attempt', 'sso_auth') as event_type,
    if(i % 8 = 0, 'directory', 'sso') as service,
    {start}::timestamp + to_microseconds((i * 86399999999::hugeint / {events})::bigint) as event_at,
    if(i % 8 = 0, i % 12 <> 0, null) as success,
    if(i % 8 = 0, null, i % 12 <> 0) as sso_token_success,
    lpad('1' || to_hex(hash(i) % {users}), 24, '0') as initiated_by_id,
    'user' as initiated_by_type,
    'user' || (hash(i) % {users}) as initiated_by_username,
    null::varchar as initiated_by_email,
    null::varchar as resource_id,
    null::varchar as resource_type,
    null::varchar as resource_username,
    null::varchar as resource_email,
    if(i % 8 = 0, null, lpad('3' || to_hex(hash(i + 7) % {applications}), 24, '0')) as application_id,
    if(i % 8 = 0, null, 'app' || (hash(i + 7) % {applications})) as application_name,
    null::varchar as application_display_label,
    if(i % 8 = 0, null, 'saml') as application_sso_type,
    '{{"id":"' || (i % 9) || '"}}' as payload,
    'bench' as _connection_id,
    {extracted}::timestamp as _extracted_at,
    {start}::timestamp as _interval_start,
    {start}::timestamp + interval 1 day as _interval_end,
from range({events}) as numbers(i)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("events", "files"))
    parser.add_argument("--folder", type=Path, help="where to put files, instead of the system's temporary folder")
    parser.add_argument("--size", type=float, default=1.0, help="of the histories, as a share of all")
    parser.add_argument("--build", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.build:
        _build()
        return
    if given.part != "files":
        histories = [int(events * given.size) for events in (10_000_000, 100_000_000)]
        _measure_events(given.folder, histories, int(1_000_000 * given.size))
    if given.part != "events":
        _measure_files(given.folder, int(500 * given.size**0.5), int(1_095 * given.size**0.5))
    print(f"\n{machine('duckdb', 'pyarrow')}")


def _measure_events(folder: Path | None, histories: Sequence[int], new: int) -> None:
    """One organization, the same days, users and applications; only the number of events differs."""
    rows = []
    for history in histories:
        with _data_root(folder):
            files = Landing([organization_id(0)])
            files.snapshot(USERS, APPLICATIONS)
            for number in range(HISTORY_DAYS):
                files.land_day(number, history // HISTORY_DAYS, USERS, APPLICATIONS)
            rows.append([f"{history:,}: first build", *build()])
            files.land_day(HISTORY_DAYS, new, USERS, APPLICATIONS)
            rows.append([f"{history:,}: a day with {new:,} is new", *build()])
            again = history // HISTORY_DAYS + new // 3
            for number in range(3):
                # The days that late events belong to are landed and read again as a whole.
                files.land_day(HISTORY_DAYS - 4 + number, again, USERS, APPLICATIONS)
            rows.append([f"{history:,}: {new:,} came late, of three days", *build()])
            rows.append([f"{history:,}: nothing is new", *build()])
    print(table(["history", "seconds", "CPU s", "peak MB"], rows), flush=True)


def _measure_files(folder: Path | None, organizations: int, days: int) -> None:
    """Many organizations and days, a small file of each."""
    with _data_root(folder) as root:
        files = Landing([organization_id(number) for number in range(organizations)])
        files.snapshot(SMALL_USERS, SMALL_APPLICATIONS)
        began = time.monotonic()
        for number in range(days):
            files.land_day(number, SMALL_EVENTS, SMALL_USERS, SMALL_APPLICATIONS)
        print(f"{organizations * days:,} files generated in {time.monotonic() - began:.0f} s", flush=True)
        rows = [["first build", *build()]]
        files.land_day(days, SMALL_EVENTS, SMALL_USERS, SMALL_APPLICATIONS)
        rows.append(["one day new", *build()])
        rows.append(["nothing new", *build()])
        for number in (3, days // 2, days - 1):
            files.land_day(number, SMALL_EVENTS, SMALL_USERS, SMALL_APPLICATIONS, of=10)
        rows.append(["three days of ten organizations again", *build()])
        header = [f"{organizations} organizations, {days} days", "seconds", "CPU s", "peak MB"]
        print(table(header, rows), flush=True)
        start = FIRST_DAY + (days // 2) * DAY
        where = f"where organization_id = '{organization_id(1)}' and date >= date '{start:%Y-%m-%d}' "
        where += f"and date < date '{start + 7 * DAY:%Y-%m-%d}'"
        for name, source in (
            ("events", f"events {where}"),
            ("events_of", f"events_of('{organization_id(1)}') {where}"),
        ):
            print(f"one organization, one week, from {name}: {_query(root, source)}", flush=True)
        size = (root / "warehouse" / "jumpcloud.duckdb").stat().st_size
        rollups = sum(path.stat().st_size for path in (root / "rollups").rglob("*.parquet"))
        print(f"warehouse {size / MB:,.0f} MB, roll-ups {rollups / MB:,.0f} MB", flush=True)


def _query(root: Path, source: str) -> str:
    with contextlib.closing(duckdb.connect(str(root / "warehouse" / "jumpcloud.duckdb"), read_only=True)) as connection:
        began = time.monotonic()
        (count,) = connection.execute(f"select count(*) from {source}").fetchall()[0]
        seconds = time.monotonic() - began
        plan = connection.execute(f"explain analyze select count(*) from {source}").fetchall()[0][1]
    files = plan.partition("Total Files Read:")[2].split()[0] if "Total Files Read:" in plan else "?"
    return f"{count} events of {files} files in {seconds:.2f} s"


@contextlib.contextmanager
def _data_root(folder: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder) as root:
        os.environ["AIRFLOW_HOME"] = root
        os.environ["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"] = root
        yield Path(root)


def organization_id(number: int) -> str:
    return f"{number:024x}"


class Landing:
    """What manifests would have landed, of some organizations that are all alike."""

    def __init__(self, organization_ids: Sequence[str]) -> None:
        self.organizations = [
            Organization(connection_id="bench", organization_id=one, organization_name=one, payload="{}", error=None)
            for one in organization_ids
        ]
        self.root: Place = FolderPath(os.environ["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"]) / "landing"
        self.clock = datetime(2026, 1, 1)
        self.number_of_runs = 0

    def snapshot(self, users: int, applications: int) -> None:
        """One snapshot of every organization: everybody has every application."""
        snapshot_at = self.clock
        of = {stream.name: stream for stream in DIRECTORY_STREAMS}
        rows: dict[str, list[dict[str, str]]] = {name: [] for name in of}
        rows["systemusers"] = [
            {"user_id": f"1{n:x}".rjust(24, "0"), "payload": json.dumps({"username": f"user{n}"})} for n in range(users)
        ]
        ids = [f"3{n:x}".rjust(24, "0") for n in range(applications)]
        rows["applications"] = [{"application_id": one, "payload": json.dumps({"name": one})} for one in ids]
        rows["application_associations"] = [
            {"application_id": one, "target_type": "user", "target_id": user["user_id"], "payload": "{}"}
            for one in ids
            for user in rows["systemusers"]
        ]
        # No key column: the partition names the organization.
        whole = pa.Table.from_pylist(
            [{"payload": "{}"}], schema=pa.schema([pa.field("payload", pa.string()), *LINEAGE_FIELDS])
        )
        tables = {name: pa.Table.from_pylist(rows[name], schema=stream.schema) for name, stream in of.items()}
        outcomes = {}
        for organization in self.organizations:
            landed = []
            for name, rows_of_stream in {**tables, "organizations": whole}.items():
                path = snapshot_path(self.root, name, str(organization["organization_id"]), snapshot_at)
                write_table(path, rows_of_stream, {"rows": rows_of_stream.num_rows})
                landed.append(self._outcome(organization, name, path, rows_of_stream.num_rows))
                landed[-1].snapshot_at = snapshot_at
            outcomes[str(organization["organization_id"])] = landed
        self._record("jumpcloud_directory", outcomes)

    def land_day(self, number: int, count: int, users: int, applications: int, of: int | None = None) -> None:
        """Land one day of all organizations, or of the first `of`: one file, and links to it."""
        self.clock += timedelta(seconds=1)
        start = FIRST_DAY + number * DAY
        sql = EVENTS.format(
            first=number * 10**9, start=f"'{start}'", extracted=f"'{self.clock}'", events=count, users=users,
            applications=applications,
        )  # fmt: skip
        counts = {"received": count, "inside": count, "strays": 0, "rows": count, "api_total": count}
        metadata = json.dumps({**counts, "extracted_at": self.clock.isoformat()})
        outcomes = {}
        twin: Place | None = None
        for organization in self.organizations[:of]:
            path = unit_path(self.root, str(organization["organization_id"]), start, start + DAY)
            if twin is None:
                with path.temporary() as temporary:
                    duckdb.execute(
                        f"copy ({sql}) to '{temporary}' (format parquet, compression zstd, "
                        f"kv_metadata {{{METADATA_KEY.decode()}: '{metadata}'}})"
                    )
                    path.put(temporary)
                twin = path
            else:
                path.create_hard_link_to(twin)
            outcome = self._outcome(organization, "directory_insights_events", path, count)
            outcome.interval_start, outcome.interval_end = start, start + DAY
            outcome.received = outcome.api_total = outcome.inside = count
            outcome.extracted_at = self.clock
            outcomes[str(organization["organization_id"])] = [outcome]
        self._record("jumpcloud_usage", outcomes)

    def _outcome(self, organization: Organization, stream: str, path: Place, rows: int) -> Outcome:
        outcome = failure(organization, stream, "")
        outcome.outcome, outcome.reason, outcome.rows = OK, None, rows
        outcome.path = name_within(path, self.root)
        return outcome

    def _record(self, dag_id: str, outcomes: dict[str, list[Outcome]]) -> None:
        self.number_of_runs += 1
        run = RunManifest(self.root, dag_id, f"run-{self.number_of_runs}")
        tried = [one for one in self.organizations if one["organization_id"] in outcomes]
        rows = [
            {**{name: getattr(one, name) for name in one.__struct_fields__}, "dag_id": dag_id, "run_id": run.run_id,
             "is_restricted": False, "recorded_at": self.clock}
            for organization in tried
            for one in outcomes[str(organization["organization_id"])]
        ]  # fmt: skip
        write_table(run.manifest, pa.Table.from_pylist(rows, schema=MANIFEST_SCHEMA))


def build() -> tuple[str, str, str]:
    """Build, check and publish in a process of its own; return seconds, CPU seconds and peak memory, as printed."""
    command = [sys.executable, "-m", "benchmarks.rollup_build", "--build"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    seconds, cpu, peak = json.loads(printed.splitlines()[-1])
    print(f"  build: {seconds:.1f} s, {cpu:.1f} s of CPU, {peak / MB:,.0f} MB", flush=True)
    return f"{seconds:.1f}", f"{cpu:.1f}", f"{peak / MB:,.0f}"


def _build() -> None:
    began, cpu = time.monotonic(), time.process_time()
    warehouse.publish_warehouse(warehouse.check_warehouse(warehouse.build_warehouse(f"build-{began}")))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTES
    print(json.dumps([time.monotonic() - began, time.process_time() - cpu, peak]))


if __name__ == "__main__":
    main()
