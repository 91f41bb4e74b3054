-- grain:  one row per organization and landed unit
-- inputs: stg_runs, rollup_units
-- why:    what has been read of an organization's usage begins with the first unit that holds an event of its own; an
--         empty one of which JumpCloud may have let go of events before it was read says nothing

with

units as (
    select
        organization_id,
        interval_start,
        interval_end,
        path,
        coalesce(max(recorded_at) filter (where outcome = 'ok'), min(recorded_at)) as landed_at,
        arg_max(outcome, recorded_at) = 'incomplete' as is_incomplete,
    from stg_runs
    where stream = 'directory_insights_events' and outcome in ('ok', 'kept', 'incomplete', 'unverified')
    group by all
),

-- What a unit holds it says itself: a run may have landed it anew and not come to record it.
landed as (
    select
        units.*,
        rolled_up.inside as events,
        rolled_up.services,
        coalesce(rolled_up.began_before_retention and rolled_up.inside = 0, false) as is_beyond_retention,
    from units
    inner join rollup_units as rolled_up using (path)
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
    landed.events,
    landed.services,
    landed.landed_at,
    known.usage_from,
    landed.is_beyond_retention,
    case
        when landed.is_incomplete then 'incomplete'
        when landed.interval_start >= known.usage_from and not landed.is_beyond_retention then 'ok'
        else 'unverified'
    end as outcome,
from landed
left join known using (organization_id)
