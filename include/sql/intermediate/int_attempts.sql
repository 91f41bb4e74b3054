-- grain:  one row per run, organization, and unit, stream, failure or refusal
-- inputs: stg_runs
-- why:    what runs that sync say of an organization, whichever Dag they are of. A connection that fails as a whole
--         fails the organizations that it synced last. What a build has found is no attempt to sync

with

connections as (
    select organization_id, arg_max(connection_id, recorded_at) as connection_id
    from stg_runs
    where organization_id is not null
    group by organization_id
),

attempts as (
    select
        *,
        stream = 'directory_insights_events' as is_usage,
    from stg_runs
    where stream not in ('forget', 'warehouse') and outcome <> 'damaged'
)

select
    organization_id,
    is_usage,
    stream,
    run_id,
    recorded_at,
    interval_start,
    interval_end,
    api_total,
    outcome,
    reason,
from attempts
where organization_id is not null
union all
select
    connections.organization_id,
    attempts.is_usage,
    attempts.stream,
    attempts.run_id,
    attempts.recorded_at,
    attempts.interval_start,
    attempts.interval_end,
    attempts.api_total,
    attempts.outcome,
    attempts.reason,
from attempts
inner join connections using (connection_id)
where attempts.organization_id is null
