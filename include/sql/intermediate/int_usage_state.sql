-- grain:  one row per organization that any run ever tried
-- inputs: stg_runs, int_coverage
-- why:    whether anything is known of an organization's usage, since when, and up to when

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
        arg_max(outcome, (recorded_at, run_id)) as outcome,
        arg_max(reason, (recorded_at, run_id)) as reason,
    from stg_runs
    where stream = 'directory_insights_events' and outcome in ('ok', 'kept', 'incomplete', 'unverified', 'skipped')
    group by organization_id
),

coverage as (
    select
        organization_id,
        min(interval_start) filter (where outcome = 'ok') as usage_from,
        max(interval_end) filter (where outcome <> 'incomplete') as usage_until,
    from int_coverage
    group by organization_id
)

select
    attempts.organization_id,
    attempts.connection_id,
    attempts.organization_name,
    coverage.usage_from,
    if(coverage.usage_from is null, null, coverage.usage_until) as usage_until,
    case
        when answers.outcome = 'skipped' then 'unavailable'
        when coverage.usage_from is null then 'unknown'
        else 'available'
    end as usage_state,
    case
        when answers.outcome = 'skipped' then answers.reason
        when answers.outcome is null then 'Directory Insights has not been read yet.'
        when coverage.usage_from is null
            then 'Directory Insights was read and has never held an event; it may not be enabled.'
    end as usage_state_reason,
    -- The last covered day: rolling columns count whole days back from here.
    cast(usage_until - interval 1 microsecond as date) as last_day,
from attempts
left join answers using (organization_id)
left join coverage using (organization_id)
