"""How fast the dashboard's pages answer on the server, and in how much memory.

    python -m benchmarks.dashboard [--users 50000] [--applications 500] [--days 1095] [--organizations 500]

Builds one warehouse of that size: marts filled by SQL, in the very tables that the package builds (their definitions
are taken from a warehouse built of the sandbox's world). Then asks every route in one process, as Airflow's API server
does, and says the median and the slowest of ten answers, and the median of the CPU time of all threads: wall time also
says what else the machine was doing. Then the same of many organizations, over as many days. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "include" / "sandbox"), str(ROOT / "tests")]
_HOME = tempfile.TemporaryDirectory(prefix="jumpcloud-elt-bench-", ignore_cleanup_errors=True)
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
}

import duckdb  # noqa: E402

from benchmarks import dashboard_organizations  # noqa: E402
from benchmarks.measuring import MB, machine, table  # noqa: E402

ORGANIZATION = "5f0a1c2e9d3b4a00112233ff"
ROUNDS = 10

# Each user reaches 30 applications, most of them through groups, and uses the portal and one of them on half of all
# days.
FILL = """
set variable last_day = date '2026-11-23';

insert into organizations by name
select
    $organization as organization_id, 'Large' as organization_name, 'jumpcloud_default' as connection_id,
    'available' as usage_state, getvariable('last_day') - $days::integer + 1 as usage_from,
    getvariable('last_day') + interval 1 day as usage_until, $days as known_days,
    timestamp '2026-11-24 01:00:00' as directory_synced_at, 'ok' as sync_status;

insert into users by name
select
    $organization as organization_id, format('a{:023x}', n) as user_id, 'user' as account_type,
    format('person.{}@example.com', n) as email, format('person.{}', n) as username,
    format('Person {}', n) as display_name, format('First{}', n) as first_name, format('Last{}', n) as last_name,
    format('Department {}', n % 40) as department, 'active' as status, 'current' as lifecycle,
    if(n % 50 = 0, ['Manager'], ['User']) as roles, n % 50 = 0 as is_admin, n % 3 = 0 as is_mfa_enabled,
    [format('Group {}', n % 300), 'All Users'] as groups, 30 as application_count,
    getvariable('last_day') - (n % 90)::integer + interval 9 hour as last_used_at, 'sso' as last_used_via,
    n % 90 as idle_days, (n % 30)::bigint as usage_days_30d, if(n % 10 = 0, 'never_used', 'used') as usage_state,
    timestamp '2024-01-01' as first_seen_at, timestamp '2026-11-24 01:00:00' as last_seen_at,
from range($users) as numbers(n);

insert into applications by name
select
    $organization as organization_id, format('b{:023x}', n) as application_id, format('Application {}', n) as name,
    'Catalog' as catalog_name, 'saml' as sso_type, true as is_active, true as is_listed,
    3000 as users_with_access, 1000 as users_active_30d, 500 as users_never_used,
    timestamp '2026-11-23 20:00:00' as last_used_at, 'used' as usage_state,
    timestamp '2024-01-01' as first_seen_at, timestamp '2026-11-24 01:00:00' as last_seen_at,
from range($applications) as numbers(n);

insert into groups by name
select $organization as organization_id, format('c{:023x}', n) as group_id, format('Group {}', n) as name
from range(300) as numbers(n);

insert into application_users by name
select
    $organization as organization_id, format('b{:023x}', (n * 7 + m) % $applications) as application_id,
    format('a{:023x}', n) as user_id, if(m < 3, 'direct', 'group') as access,
    if(m < 3, [], [format('c{:023x}', (n + m) % 300)])::varchar[] as via_group_ids,
    if(m % 6 = 0, null, timestamp '2024-06-01') as first_used_at,
    if(m % 6 = 0, null, getvariable('last_day') - ((n + m) % 120)::integer + interval 9 hour) as last_used_at,
    (n + m) % 20 as uses_30d, (n + m) % 60 as uses_90d, (n + m) % 15 as usage_days_30d,
    if(m % 6 = 0, 'never_used', 'used') as usage_state, (n + m) % 120 as idle_days,
from range($users) as people(n), range(least(30, $applications)) as numbers(m);

insert into usage_coverage by name
select
    $organization as organization_id, getvariable('last_day') - d::integer as interval_start,
    getvariable('last_day') - d::integer + interval 1 day as interval_end, 100000 as events,
    timestamp '2026-11-24' as landed_at, 'ok' as outcome, ['directory', 'sso'] as services,
from range($days) as days(d);

insert into usage_coverage_daily by name
select
    $organization as organization_id, (getvariable('last_day') - d::integer)::date as date,
    86400 as covered_seconds, true as is_known,
from range($days) as days(d);

insert into user_history by name
select * exclude (v), if(v = 3, null, valid_from + interval 200 day) as valid_to
from (
    select
        organization_id, user_id, if(v = 3, status, 'staged') as status, roles, is_admin, is_mfa_enabled, email,
        username, display_name, department, groups, first_seen_at + to_days((v * 200)::integer) as valid_from, v,
    from users, range(4) as versions(v)
);

insert into access_history by name
select
    organization_id, application_id, user_id, access, via_group_ids, timestamp '2024-06-01' as valid_from,
from application_users;

insert into sync_log by name
select
    $organization as organization_id, 'directory_insights_events' as stream, 'jumpcloud_usage' as dag_id,
    format('scheduled__{}', d) as run_id, 'jumpcloud_default' as connection_id,
    getvariable('last_day') - d::integer as interval_start, 'ok' as outcome,
    getvariable('last_day') - d::integer + interval 1 day as recorded_at,
from range($days) as days(d)
"""


# Month by month and in no order within, as a build makes it.
FILL_DAYS = """
insert into usage_daily by name
select
    $organization as organization_id, getvariable('last_day') - d::integer as date,
    format('a{:023x}', n) as user_id,
    if(s = 0, null, format('b{:023x}', (n * 7 + (d + s) % 30) % $applications)) as application_id,
    if(s = 0, 'user_portal', 'sso') as source, 1 + (n + d) % 3 as successes, if((n + d) % 25 = 0, 1, 0) as failures,
    getvariable('last_day') - d::integer + interval 8 hour as first_at,
    getvariable('last_day') - d::integer + interval 17 hour as last_at,
from range($from_day, $until_day) as days(d), range($users) as people(n), range(2) as rows(s)
where (n + d) % 2 = 0
order by hash(d, n, s)
"""
DAYS_AT_ONCE = 30


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=50_000)
    parser.add_argument("--applications", type=int, default=500)
    parser.add_argument("--days", type=int, default=1_095)
    parser.add_argument("--organizations", type=int, default=500)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jumpcloud-elt-bench-") as folder:
        os.environ["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"] = folder
        warehouse = Path(folder, "warehouse", "jumpcloud.duckdb")
        began = time.perf_counter()
        _fill(_build_empty(), warehouse, given.users, given.applications, given.days)
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            ((rows, days),) = connection.execute(
                "select (select count(*) from usage_daily), (select count(*) from usage_by_day)"
            ).fetchall()
        print(
            f"{given.users:,} users, {given.applications:,} applications, {given.days:,} days: {rows:,} rows of "
            f"usage_daily, {days:,} of usage_by_day, {warehouse.stat().st_size / MB:,.0f} MB, made in "
            f"{time.perf_counter() - began:.0f} s\n"
        )
        print(table(("route", "ms", "slowest ms", "CPU ms", "kB"), list(_measure(_routes()))))
        os.environ["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"] = str(Path(folder, "organizations"))
        dashboard_organizations.fill(_build_empty(), given.organizations, given.days)
        print(f"\n{given.organizations:,} organizations, {given.days:,} days\n")
        routes = dashboard_organizations.routes()
        print(table(("route", "ms", "slowest ms", "CPU ms", "kB"), list(_measure(routes))))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\nPeak memory of the process: {peak:,.0f} MB, with Airflow and its imports.")
        print(f"Measured on {machine('duckdb', 'apache-airflow')}.")


def _build_empty() -> Path:
    """A warehouse as the package builds it, of a small world."""
    from jumpcloud_sandbox.client import Sandbox
    from support.connections import API_KEY, connection_json
    from support.pipeline import run_directory, run_usage, run_warehouse

    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    with Sandbox.start("demo") as sandbox:
        os.environ["AIRFLOW_CONN_JUMPCLOUD_DEFAULT"] = connection_json(sandbox.url, API_KEY)
        run_directory("manual__directory")
        run_usage("usage", today - timedelta(days=2), today)
        return run_warehouse("warehouse")


def _fill(built: Path, target: Path, users: int, applications: int, days: int) -> None:
    """Put the large organization in the place of the small ones."""
    from jumpcloud_elt.warehouse.sql_files import read_sql

    built.chmod(0o644)
    with duckdb.connect(str(built)) as connection:
        connection.execute("set memory_limit = '6GB'")
        for (name,) in connection.execute(
            "select table_name from information_schema.tables where table_schema = 'main' "
            "and table_type = 'BASE TABLE' and table_name <> 'warehouse_info'"
        ).fetchall():
            connection.execute(f"delete from {name}")
        values = {"organization": ORGANIZATION, "users": users, "applications": applications, "days": days}
        for statement in FILL.split(";\n"):
            used = {name: value for name, value in values.items() if f"${name}" in statement}
            connection.execute(statement, used or None)
        for day in range(days, 0, -DAYS_AT_ONCE):
            connection.execute(
                FILL_DAYS,
                {
                    "organization": ORGANIZATION,
                    "users": users,
                    "applications": applications,
                    "from_day": max(0, day - DAYS_AT_ONCE),
                    "until_day": day,
                },
            )
        connection.execute(f"insert into usage_by_day by name {read_sql('marts/usage_by_day')}")
    assert built == target


def _routes() -> Iterator[str]:
    user, application = f"a{77:023x}", f"b{7:023x}"
    yield ""
    yield from (
        "users",
        "users?search=person.4999&sort=-last_used",
        "users?usage=idle60&role=Manager&sort=last_used",
        "users?page=900",
        f"user?organization_id={ORGANIZATION}&user_id={user}",
        "applications",
        "applications?usage=idle30&sort=-active",
        f"application?organization_id={ORGANIZATION}&application_id={application}",
        f"application?organization_id={ORGANIZATION}&application_id={application}&usage=never&access=now",
        "access?usage=never&access=now",
        "access?usage=idle90&access=now&sort=last_used&page=500",
        "access?page=20000",
        "access?page=20000&sort=name",
        "access?search=person.4999",
        "usage",
        "usage?range=365",
        "usage?range=all",
    )
    yield from ("users.csv", "users.json", "access.csv?usage=never&access=now", "access.parquet")


def _measure(routes: Iterator[str]) -> Iterator[tuple[str, str, str, str, str]]:
    from airflow.utils.db import initdb

    from support.dashboards import visitor

    initdb()
    with visitor() as client:
        for route in routes:
            times, cpu = [], []
            for _ in range(ROUNDS if "." not in route.partition("?")[0] else 2):
                began, used = time.perf_counter(), time.process_time()
                answer = client.get(route)
                times.append(time.perf_counter() - began)
                cpu.append(time.process_time() - used)
                answer.raise_for_status()
            yield (
                f"`/{route.replace(ORGANIZATION, '…')}`",
                f"{statistics.median(times) * 1000:.0f}",
                f"{max(times) * 1000:.0f}",
                f"{statistics.median(cpu) * 1000:.0f}",
                f"{len(answer.content) / 1000:,.0f}",
            )


if __name__ == "__main__":
    main()
