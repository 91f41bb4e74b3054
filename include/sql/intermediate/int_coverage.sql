-- grain:  one row per organization and landed unit
-- inputs: stg_runs
-- why:    what has been read of an organization's usage begins with the first unit that holds an event of its own

with

landed as (
    select
        organization_id,
        interval_start,
        interval_end,
        path,
        rows,
        inside as events,
        recorded_at as landed_at,
    from stg_runs
    where stream = 'directory_insights_events' and outcome = 'ok'
    qualify
        row_number() over (
            partition by organization_id, interval_start, interval_end
            order by recorded_at desc, run_id desc
        ) = 1
),

known as (
    select organization_id, min(interval_start) as usage_from
    from landed
    where events > 0
    group by organization_id
)

select
    landed.organization_id,
    landed.interval_start,
    landed.interval_end,
    landed.path,
    landed.rows,
    landed.events,
    landed.landed_at,
    known.usage_from,
    if(landed.interval_start >= known.usage_from, 'ok', 'unverified') as outcome,
from landed
left join known using (organization_id)
