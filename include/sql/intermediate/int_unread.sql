-- grain:  one row per organization and interval within a day that was tried last without anything landing of it
-- inputs: int_attempts, int_coverage
-- why:    what failed or was skipped, and has not been read since. What failed says all that its run was to land; what
--         was to be made up for is all that JumpCloud may have kept, before the run's own units, and is left out

with

attempts as (
    select *
    from int_attempts
    where is_usage and interval_start is not null
    qualify max(interval_start) over (partition by organization_id, run_id) < interval_end
),

-- No unit spans a day.
days as (
    select
        *,
        unnest(generate_series(
            date_trunc('day', interval_start), interval_end - interval 1 microsecond, interval 1 day
        )) as day_start,
    from attempts
    where outcome in ('failed', 'skipped', 'excluded', 'not_asked')
),

latest as (
    select
        organization_id,
        greatest(interval_start, day_start) as interval_start,
        least(interval_end, day_start + interval 1 day) as interval_end,
        arg_max(outcome, (recorded_at, run_id)) as outcome,
        arg_max(reason, (recorded_at, run_id)) as reason,
    from days
    group by all
)

select latest.*
from latest
anti join int_coverage as landed
    on
        latest.organization_id = landed.organization_id
        and latest.interval_start < landed.interval_end
        and latest.interval_end > landed.interval_start
where latest.outcome in ('failed', 'skipped')
