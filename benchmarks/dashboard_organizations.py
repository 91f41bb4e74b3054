"""The world of many organizations for `benchmarks.dashboard`: a provider's, with daily runs over years.

Each organization has 40 users and 20 applications; each user reaches ten of them. Every 50th organization has a day
that was never read, every 20th has no Directory Insights. Filled by SQL into the tables that the package builds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb

ORGANIZATION = f"d{7:023x}"

FILL = """
set variable last_day = date '2026-11-23';

create temporary table numbered as
select
    n, format('d{:023x}', n) as organization_id, format('Organization {}', n) as organization_name,
    n % 20 <> 19 as has_usage,
from range($organizations) as numbers(n);

insert into organizations by name
select
    organization_id, organization_name, 'jumpcloud_default' as connection_id,
    if(has_usage, 'available', 'unavailable') as usage_state,
    if(has_usage, null, 'Directory Insights is not enabled.') as usage_state_reason,
    if(has_usage, getvariable('last_day') - $days::integer + 1, null) as usage_from,
    if(has_usage, getvariable('last_day') + interval 1 day, null) as usage_until,
    if(has_usage, $days, 0) as known_days, timestamp '2026-11-24 01:00:00' as directory_synced_at,
    'ok' as sync_status,
from numbered;

insert into users by name
select
    organization_id, format('a{:015x}{:08x}', n, u) as user_id, 'user' as account_type,
    format('person.{}@organization-{}.example', u, n) as email, format('person.{}', u) as username,
    format('Person {} of {}', u, n) as display_name, 'active' as status, 'current' as lifecycle,
    ['User'] as roles, false as is_admin, false as is_mfa_enabled, ['All Users'] as groups, 10 as application_count,
    if(has_usage, getvariable('last_day') - (u % 90)::integer + interval 9 hour, null) as last_used_at,
    'sso' as last_used_via, if(has_usage, u % 30, null) as usage_days_30d,
    if(has_usage, 'used', 'unknown') as usage_state,
    timestamp '2024-01-01' as first_seen_at, timestamp '2026-11-24 01:00:00' as last_seen_at,
from numbered, range(40) as people(u);

insert into applications by name
select
    organization_id, format('b{:015x}{:08x}', n, a) as application_id, format('Application {}', a) as name,
    'saml' as sso_type, true as is_active, true as is_listed, 20 as users_with_access,
    if(has_usage, 10, null) as users_active_30d, if(has_usage, 5, null) as users_never_used,
    if(has_usage, timestamp '2026-11-23 20:00:00', null) as last_used_at,
    if(has_usage, 'used', 'unknown') as usage_state,
    timestamp '2024-01-01' as first_seen_at, timestamp '2026-11-24 01:00:00' as last_seen_at,
from numbered, range(20) as listed(a);

insert into application_users by name
select
    organization_id, format('b{:015x}{:08x}', n, (u + m) % 20) as application_id,
    format('a{:015x}{:08x}', n, u) as user_id, 'direct' as access, []::varchar[] as via_group_ids,
    if(has_usage and m % 4 > 0, getvariable('last_day') - ((u + m) % 120)::integer + interval 9 hour, null)
        as last_used_at,
    if(has_usage, (u + m) % 20, null) as uses_30d, if(has_usage, (u + m) % 60, null) as uses_90d,
    if(not has_usage, 'unknown', if(m % 4 > 0, 'used', 'never_used')) as usage_state,
from numbered, range(40) as people(u), range(10) as pairs(m);

insert into usage_coverage by name
select
    organization_id, getvariable('last_day') - d::integer as interval_start,
    getvariable('last_day') - d::integer + interval 1 day as interval_end, 1000 as events,
    timestamp '2026-11-24' as landed_at, 'ok' as outcome, ['directory', 'sso'] as services,
from numbered, range($days) as days(d)
where has_usage and (n % 50 > 0 or d <> 40);

insert into usage_coverage_daily by name
select
    organization_id, (getvariable('last_day') - d::integer)::date as date,
    if(n % 50 > 0 or d <> 40, 86400, 0) as covered_seconds, n % 50 > 0 or d < 40 as is_known,
from numbered, range($days) as days(d)
where has_usage;

insert into usage_by_day by name
select
    organization_id, getvariable('last_day') - d::integer as date, if(a = 20, 'user_portal', 'sso') as source,
    if(a = 20, null, format('b{:015x}{:08x}', n, a)) as application_id, 10 as users, 20 as successes, 1 as failures,
from numbered, range($days) as days(d), range(21) as listed(a)
where has_usage
order by organization_id, date, source, application_id;

insert into sync_log by name
select
    organization_id, stream, dag_id, format('scheduled__{}', getvariable('last_day') - d::integer) as run_id,
    'jumpcloud_default' as connection_id, 'ok' as outcome,
    getvariable('last_day') - d::integer + interval 25 hour as recorded_at,
from
    range($days) as days(d),
    numbered,
    (values
        ('directory_insights_events', 'jumpcloud_usage'),
        ('organizations', 'jumpcloud_directory'),
        ('systemusers', 'jumpcloud_directory'),
        ('administrators', 'jumpcloud_directory'),
        ('usergroups', 'jumpcloud_directory'),
        ('usergroup_members', 'jumpcloud_directory'),
        ('applications', 'jumpcloud_directory'),
        ('application_associations', 'jumpcloud_directory')
    ) as streams(stream, dag_id);

insert into capabilities by name
select
    'jumpcloud_default' as connection_id, organization_id, format('capability_{}', c) as capability,
    if(c < 8, 'sync', 'action') as kind, if(c < 8, 'yes', 'no') as state,
    if(c < 8, null, 'The connection has the permission read.') as reason,
from numbered, range(19) as capabilities(c)
"""


def fill(warehouse: Path, organizations: int, days: int) -> None:
    """Put the organizations in the place of those that a warehouse was built of."""
    values = {"organizations": organizations, "days": days}
    warehouse.chmod(0o644)
    with duckdb.connect(str(warehouse)) as connection:
        for schema, name in connection.execute(
            "select table_schema, table_name from information_schema.tables "
            "where table_type = 'BASE TABLE' and table_name <> 'warehouse_info'"
        ).fetchall():
            connection.execute(f"delete from {schema}.{name}")
        for statement in FILL.split(";\n"):
            used = {name: value for name, value in values.items() if f"${name}" in statement}
            connection.execute(statement, used or None)


def routes() -> Iterator[str]:
    """The pages that many organizations make larger."""
    yield from (
        "",
        "?search=organization+77&page=1",
        "users",
        "applications",
        "access?usage=never&access=now",
        "usage",
        "usage?range=all",
        f"usage?organization={ORGANIZATION}",
    )
