-- grain:  one row per organization that a usage run ever tried
-- inputs: stg_runs
-- why:    how the latest run that tried to read an organization's usage ended

with

connections as (
    select organization_id, arg_max(connection_id, recorded_at) as connection_id
    from stg_runs
    where organization_id is not null
    group by organization_id
),

-- A connection that fails as a whole fails the organizations that it synced last.
attempts as (
    select organization_id, run_id, recorded_at, outcome, reason
    from stg_runs
    where dag_id = 'jumpcloud_usage' and organization_id is not null
    union all
    select connections.organization_id, runs.run_id, runs.recorded_at, runs.outcome, runs.reason
    from stg_runs as runs
    inner join connections using (connection_id)
    where runs.dag_id = 'jumpcloud_usage' and runs.organization_id is null
),

-- Of a run that was run again, the last time counts.
tried as (
    select
        organization_id,
        run_id,
        max(recorded_at) as tried_at,
        count_if(outcome = 'failed') > 0 as has_failed,
        min(reason) filter (where outcome = 'failed') as failure,
    from
        (
            select *
            from attempts
            qualify recorded_at = max(recorded_at) over (partition by organization_id, run_id)
        ) as last_attempts
    group by organization_id, run_id
)

select
    organization_id,
    has_failed,
    if(has_failed, 'Usage: ' || failure, null) as message,
from tried
qualify row_number() over (partition by organization_id order by tried_at desc, run_id desc) = 1
