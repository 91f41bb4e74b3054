-- grain:  one row per organization that any run ever tried
-- inputs: stg_runs, int_attempts, int_coverage, int_stretches
-- why:    whether anything is known of an organization's usage, and of which time it is known what was not used

with

attempts as (
    select
        organization_id,
        arg_max(connection_id, recorded_at) as connection_id,
        arg_max(organization_name, recorded_at) as organization_name,
    from stg_runs
    where organization_id is not null and connection_id <> ''
    group by organization_id
),

answers as (
    select
        organization_id,
        arg_max(outcome, (recorded_at, run_id))
        filter (where outcome in ('ok', 'kept', 'incomplete', 'unverified', 'skipped')) as outcome,
        arg_max(reason, (recorded_at, run_id))
        filter (where outcome in ('ok', 'kept', 'incomplete', 'unverified', 'skipped')) as reason,
        -- Left out on purpose: the state stays as the last reading made it.
        arg_max(outcome, (recorded_at, run_id)) = 'excluded' as is_excluded,
        arg_max(reason, (recorded_at, run_id)) filter (where outcome = 'excluded') as why_excluded,
        coalesce(bool_or(api_total > 0), false) as has_counted,
    from int_attempts
    where is_usage
    group by organization_id
),

seen as (
    select distinct organization_id, true as has_events
    from int_coverage
    where events > 0
),

known as (
    select
        organization_id,
        max(starts_at) as usage_from,
        max(ends_at) as usage_until,
    from int_stretches
    group by organization_id
)

select
    attempts.organization_id,
    attempts.connection_id,
    attempts.organization_name,
    known.usage_from,
    known.usage_until,
    greatest(
        date_diff('day', date_trunc('day', known.usage_from - interval 1 microsecond), known.usage_until) - 1, 0
    ) as known_days,
    case
        when answers.outcome = 'skipped' then 'unavailable'
        when seen.has_events is null then 'unknown'
        else 'available'
    end as usage_state,
    case
        when answers.is_excluded then answers.why_excluded
        when answers.outcome = 'skipped' then answers.reason
        when answers.outcome is null then 'Directory Insights has not been read yet.'
        when seen.has_events is null and answers.has_counted
            then 'Directory Insights was read and JumpCloud counted events; none dated in the time asked for is landed.'
        when seen.has_events is null
            then 'Directory Insights was read and JumpCloud counted no event; it may not be enabled.'
    end as usage_state_reason,
    -- Whether what was not used can be told at all.
    usage_state = 'available' and known.usage_from is not null as is_known,
    -- The last covered day: rolling columns count whole days back from here.
    cast(known.usage_until - interval 1 microsecond as date) as last_day,
    -- Zero of a window is known only where all of it is.
    known.usage_from <= last_day - 29 as is_known_30d,
    known.usage_from <= last_day - 89 as is_known_90d,
from attempts
left join answers using (organization_id)
left join seen using (organization_id)
left join known using (organization_id)
