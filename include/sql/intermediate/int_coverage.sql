-- grain:  one row per organization and unit that has landed, or that had and is damaged
-- inputs: stg_unit_runs, stg_damaged, rollup_units
-- why:    which units cover their interval: those that were read whole, of the log-ins to the portals and of SSO. An
--         empty unit covers nothing where JumpCloud may have let go of its events: before the first unit that holds
--         any, or where it began before the retention

with

units as (
    select
        organization_id,
        interval_start,
        interval_end,
        path,
        coalesce(max(recorded_at) filter (where outcome = 'ok'), min(recorded_at)) as landed_at,
        if(bool_or(outcome in ('ok', 'kept')), 'ok', arg_max(outcome, recorded_at)) as recorded_outcome,
        arg_max(reason, recorded_at) filter (where outcome in ('incomplete', 'unverified')) as why_not_whole,
    from stg_unit_runs
    group by all
),

-- What a unit holds it says itself: a run may have landed it anew and not come to record it.
landed as (
    select
        units.*,
        -- Files of earlier versions do not say it.
        coalesce(rolled_up.outcome, units.recorded_outcome) as landed_outcome,
        rolled_up.inside as events,
        rolled_up.services,
        rolled_up.inside = 0 and coalesce(rolled_up.began_before_retention, false) as is_beyond_retention,
        rolled_up.inside = 0
        and units.interval_start < coalesce(
            min(units.interval_start) filter (where rolled_up.inside > 0) over (partition by units.organization_id),
            'infinity'::timestamp
        ) as is_before_first_event,
        coalesce(
            list_contains(rolled_up.services, 'all') or list_has_all(rolled_up.services, ['directory', 'sso']), false
        ) as has_all_services,
    from units
    inner join rollup_units as rolled_up using (path)
)

select
    organization_id,
    interval_start,
    interval_end,
    events,
    services,
    landed_at,
    case
        when landed_outcome <> 'ok' then landed_outcome
        when is_beyond_retention or is_before_first_event then 'unverified'
        else 'ok'
    end as outcome,
    case
        when landed_outcome <> 'ok' then coalesce(why_not_whole, 'No reading agreed with JumpCloud''s own count.')
        when is_beyond_retention
            then 'Empty, and begun before JumpCloud''s retention when it was read: events may have been gone.'
        when is_before_first_event
            then 'Empty, and before the first event ever seen: JumpCloud may not keep events that long.'
        when not has_all_services
            then 'Covers nothing: it was read without the service directory or sso.'
    end as reason,
    outcome = 'ok' and has_all_services as is_covering,
from landed
union all
select
    organization_id,
    interval_start,
    interval_end,
    0 as events,
    null::varchar[] as services,
    found_at as landed_at,
    'damaged' as outcome,
    reason,
    false as is_covering,
from stg_damaged
where interval_start is not null
