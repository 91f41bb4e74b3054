-- grain:  one row per organization that a usage run ever tried
-- inputs: int_attempts
-- why:    how the latest run that tried to read an organization's usage ended

with

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
            from int_attempts
            where is_usage
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
