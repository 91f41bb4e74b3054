"""What the Dags do, without Airflow's engine: the same common, in the same order, in this process."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb

from jumpcloud_elt.core.airflow_compat import AirflowException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.reading import MARTS, open_warehouse
from jumpcloud_elt.tasks import common, directory, usage
from jumpcloud_elt.tasks import warehouse as tasks_warehouse
from jumpcloud_sandbox.client import Sandbox
from support.expectations import TABLES, Attempt, Insights, Snapshot, Unit, expected

Row = dict[str, Any]
# When and how quickly something was done: no two runs say the same.
TIMES = ["_extracted_at", "landed_at", "recorded_at", "built_at", "checked_at", "seconds", "requests", "path"]


def run_directory(
    run_id: str, only: list[str] | None = None, accept_drop: list[str] | None = None
) -> list[common.Failure]:
    """One run of jumpcloud_directory; returns the organizations that failed."""
    run_of = {"dag_id": "jumpcloud_directory", "run_id": run_id}
    listed = common.list_organizations(only or [], with_credentials=True)
    for organization in listed:
        with contextlib.suppress(AirflowException):
            directory.extract_directory(organization, run_of, accept_drop or [])
    return common.record_run(listed, run_of, common.DIRECTORY, is_restricted=bool(only))


def run_usage(run_id: str, start: datetime, end: datetime, run_type: str = "manual") -> list[common.Failure]:
    """One run of jumpcloud_usage over [start, end), naive UTC; returns the organizations that failed.

    One by hand has a logical date, as `airflow dags test` gives it.
    """
    run_of = {"dag_id": "jumpcloud_usage", "run_id": run_id}
    interval = {"data_interval_start": start.replace(tzinfo=UTC), "data_interval_end": end.replace(tzinfo=UTC)}
    dag_run = SimpleNamespace(
        **interval, run_type=run_type, logical_date=interval["data_interval_start"], start_date=datetime.now(UTC)
    )
    units = usage.plan_units(dag_run, {})
    listed = common.list_organizations([])
    probed = usage.probe_directory_insights(listed)
    if usage.choose_usage_branch(probed, "extract", "unavailable") == "unavailable":
        usage.record_unavailable(probed, run_of)
    else:
        for organization in probed:
            with contextlib.suppress(AirflowException):
                usage.extract_events(organization, run_of, units)
    for chosen in usage.choose_organizations_to_catch_up(probed, run_of, dag_run, {}):
        with contextlib.suppress(AirflowException):
            usage.catch_up_events(chosen, run_of, units, dag_run)
    return usage.record_usage_run(listed, run_of, units)


def run_warehouse(run_id: str, *, rebuild_runs: bool = False) -> Path:
    """One run of jumpcloud_warehouse; returns the published file."""
    built = tasks_warehouse.build_warehouse(run_id, rebuild_runs=rebuild_runs)
    return Path(tasks_warehouse.publish_warehouse(tasks_warehouse.check_warehouse(built)))


def discard_builds(settings: Settings) -> None:
    """Remove what has been published and what builds carry on: the next one is a build from nothing."""
    shutil.rmtree(settings.warehouse.parent)


def rows_of_marts(warehouse: Path) -> dict[str, list[Row]]:
    """Every row of every mart that says something of JumpCloud."""
    return {mart: query(warehouse, f"select * from {mart} order by all") for mart in MARTS if mart != "warehouse_info"}


def assert_is_as_from_nothing(settings: Settings, run_id: str) -> None:
    """Assert that a build of the same landing that carries nothing on has the rows of the published one."""
    found = rows_of_marts(Path(str(settings.warehouse)))
    discard_builds(settings)
    settings.rollups.remove_folder()
    wanted = rows_of_marts(run_warehouse(run_id))
    for mart, rows in wanted.items():
        assert found[mart] == rows, mart


def query(warehouse: Path, sql: str, parameters: list[Any] | None = None) -> list[Row]:
    """The rows of a query on the published warehouse, as dictionaries."""
    with contextlib.closing(duckdb.connect(str(warehouse), read_only=True)) as connection:
        result = connection.execute(sql, parameters)
        names = [column[0] for column in result.description or []]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def marts() -> dict[str, list[Row]]:
    """Every row of every mart and of the events, but for what no two runs have in common."""
    found = {mart: rows_of(mart) for mart in MARTS if mart != "warehouse_info"}
    return found | {"events": rows_of("events")}


def rows_of(table: str) -> list[Row]:
    with open_warehouse() as connection:
        cursor = connection.execute(f"select * exclude (_) from (select 0 as _, * from {table})")
        names = [column[0] for column in cursor.description or []]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return sorted(({name: row[name] for name in names if name not in TIMES} for row in rows), key=repr)


def snapshots_of(sandbox: Sandbox, settings: Settings) -> list[Snapshot]:
    """The world as it stands, as the snapshots that the latest directory run took of it."""
    taken = []
    world = sandbox.world()
    for organization in world["organizations"]:
        linked = [
            row
            for provider in world["providers"]
            for row in provider["administrators"]
            if row["_id"] in provider.get("links", {}).get(organization["id"], [])
        ]
        partitions = settings.landing.glob(f"organizations/organization_id={organization['id']}/snapshot_at=*")
        latest = max(partition.name.removeprefix("snapshot_at=") for partition in partitions)
        taken.append(snapshot_of(organization, datetime.strptime(latest, "%Y%m%dT%H%M%SZ"), linked))
    return taken


def snapshot_of(organization: Row, snapshot_at: datetime, linked: Sequence[Row] = ()) -> Snapshot:
    """One organization of a world as a snapshot of it; `linked` are the administrators of a provider."""
    return Snapshot(
        organization_id=organization["id"],
        snapshot_at=snapshot_at,
        organization={"id": organization["id"], "displayName": organization["displayName"]},
        users=organization["users"],
        administrators=[*organization["administrators"], *linked],
        applications=organization["applications"],
        usergroups=organization["usergroups"],
        memberships=organization["memberships"],
        application_users=organization["application_users"],
        application_groups=organization["application_groups"],
    )


def assert_warehouse_is(
    warehouse: Path,
    snapshots: list[Snapshot],
    units: list[Unit],
    insights: list[Insights],
    tables: tuple[str, ...] = TABLES,
    attempts: list[Attempt] | None = None,
) -> None:
    """Assert that every row of every table is what the expectation says, and no other."""
    connection_ids = {snapshot.organization_id: "jumpcloud_default" for snapshot in snapshots}
    wanted = expected(snapshots, units, insights, connection_ids, attempts)
    for table in tables:
        rows = wanted[table]
        columns = ", ".join(f'"{name}"' for name in (rows[0] if rows else {"organization_id": None}))
        found = query(warehouse, f"select {columns} from {table}")
        told = differences(found, rows)
        assert not told, f"{table}: {told}"


def differences(found: Sequence[Row], wanted: Sequence[Row]) -> str:
    """How the rows of a table differ from those that are expected, in words; empty where they do not."""
    found_only, wanted_only = Counter(map(_frozen, found)), Counter(map(_frozen, wanted))
    missing, extra = wanted_only - found_only, found_only - wanted_only
    return _differences(missing, extra) if missing or extra else ""


def _frozen(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple((name, repr(value)) for name, value in sorted(row.items()))


def _differences(missing: Counter[Any], extra: Counter[Any]) -> str:
    """The first rows that differ; of a pair that shares most of its columns only the others."""
    lines = [f"{missing.total()} expected rows missing, {extra.total()} rows too many"]
    for row in list(missing)[:5]:
        near = max(extra, key=lambda other: len(set(row) & set(other)), default=())
        lines.append(f"expected {[pair for pair in row if pair not in near]}")
        lines.append(f"   found {[pair for pair in near if pair not in row]} beside {row[:6]}")
    lines += [f"too many {row}" for row in list(extra)[:2] if not missing]
    return "\n".join(lines)
