-- grain:  one row per organization
-- inputs: ranges (coverage.sql), organizations, users, applications, usage_coverage, sync_log
-- why:    how each organization stands, what it holds, and which runs say so; and what all of them hold together

with

people as (
    select
        organization_id,
        count(*) as accounts,
    from users
    where lifecycle = 'current'
    group by organization_id
),

listed as (
    select
        organization_id,
        count(*) as applications,
        sum(users_never_used)::bigint as never_used,
        -- Of what is unknown nobody can say how much of it is used.
        sum(users_with_access) filter (where users_never_used is not null)::bigint as known_accesses,
        sum(users_with_access) filter (where users_never_used is null)::bigint as unknown_accesses,
    from applications
    where is_listed
    group by organization_id
),

followed as (
    select
        organization_id,
        range_end as gap_start,
        lead(range_start) over (partition by organization_id order by range_start) as gap_end,
    from ranges
),

gaps as (
    select
        organization_id,
        count(*) as gaps,
        min(gap_start) as gap_start,
        min(gap_end) as gap_end,
    from followed
    where gap_end is not null
    group by organization_id
),

-- Days of which something was read, and not all: in the gap that is named, and after what is known.
incomplete_units as (
    select
        units.organization_id,
        units.interval_start::date as date,
        units.interval_start < gaps.gap_end and units.interval_end > gaps.gap_start as is_in_gap,
        organizations.usage_until is null or units.interval_end > organizations.usage_until as is_at_end,
    from usage_coverage as units
    inner join organizations using (organization_id)
    left join gaps using (organization_id)
    where units.outcome = 'incomplete'
),

incomplete as (
    select
        organization_id,
        list(distinct date order by date) filter (where is_in_gap) as incomplete_in_gap,
        list(distinct date order by date) filter (where is_at_end) as incomplete_at_end,
    from incomplete_units
    group by organization_id
),

-- A connection that fails as a whole fails the organizations that it synced last. Runs that act sync users, too.
attempts as not materialized (
    select
        organization_id,
        if(dag_id = 'jumpcloud_usage', 'usage', 'directory') as kind,
        dag_id,
        run_id,
        outcome,
        reason,
        recorded_at,
    from sync_log
    where
        organization_id is not null and dag_id in ('jumpcloud_directory', 'jumpcloud_user_action', 'jumpcloud_usage')
    union all
    select
        organizations.organization_id,
        if(runs.dag_id = 'jumpcloud_usage', 'usage', 'directory') as kind,
        runs.dag_id,
        runs.run_id,
        runs.outcome,
        runs.reason,
        runs.recorded_at,
    from sync_log as runs
    inner join organizations using (connection_id)
    where runs.organization_id is null and runs.dag_id in ('jumpcloud_directory', 'jumpcloud_usage')
),

last_attempts as (
    select
        organization_id,
        kind,
        max(recorded_at) as recorded_at,
    from attempts
    group by organization_id, kind
),

-- Of a run that was run again, the last time counts.
latest as (
    select
        organization_id,
        kind,
        run_id,
        any_value(dag_id) as dag_id,
        recorded_at,
        count_if(outcome = 'failed') > 0 as has_failed,
    from attempts
    inner join last_attempts using (organization_id, kind, recorded_at)
    group by organization_id, kind, run_id, recorded_at
    qualify row_number() over (partition by organization_id, kind order by run_id desc) = 1
)

select
    organizations.organization_id,
    organizations.organization_name,
    organizations.connection_id,
    organizations.sync_status,
    organizations.sync_message,
    organizations.directory_synced_at,
    organizations.usage_state,
    organizations.usage_state_reason,
    organizations.usage_from,
    organizations.usage_until,
    organizations.known_days,
    organizations.usage_state = 'available' and organizations.usage_from is not null as is_usage_known,
    coalesce(people.accounts, 0) as accounts,
    coalesce(listed.applications, 0) as applications,
    listed.never_used,
    sum(listed.never_used) over ()::bigint as never_used_in_all,
    sum(listed.known_accesses) over ()::bigint as known_accesses_in_all,
    coalesce(sum(listed.unknown_accesses) over (), 0)::bigint as unknown_accesses_in_all,
    coalesce(gaps.gaps, 0) as gaps,
    gaps.gap_start,
    gaps.gap_end,
    coalesce(incomplete.incomplete_in_gap, []) as incomplete_in_gap,
    coalesce(incomplete.incomplete_at_end, []) as incomplete_at_end,
    directory.dag_id as directory_dag_id,
    directory.run_id as directory_run_id,
    usage.run_id as usage_run_id,
    -- What is said of damaged files comes before.
    organizations.sync_status = 'failed'
    and not coalesce(directory.has_failed, false)
    and starts_with(organizations.sync_message, 'Usage: ') as has_only_usage_failed,
from organizations
left join people using (organization_id)
left join listed using (organization_id)
left join gaps using (organization_id)
left join incomplete using (organization_id)
left join latest as directory
    on organizations.organization_id = directory.organization_id and directory.kind = 'directory'
left join latest as usage
    on organizations.organization_id = usage.organization_id and usage.kind = 'usage'
