-- grain:  one row per organization that a directory run ever tried
-- inputs: int_attempts, stg_runs
-- why:    how the latest run that tried an organization ended, and whether the latest unrestricted run tried it

with

-- Of a run that was run again, the last time counts.
tried as (
    select
        organization_id,
        run_id,
        max(recorded_at) as tried_at,
        count_if(outcome = 'failed') > 0 as has_failed,
        min(reason) filter (where outcome = 'failed') as failure,
        count_if(outcome = 'held') > 0 as is_held,
        min(reason) filter (where outcome = 'held') as held,
        string_agg(reason, ' ' order by stream) filter (where outcome = 'skipped') as unread,
    from
        (
            select *
            from int_attempts
            where not is_usage
            qualify recorded_at = max(recorded_at) over (partition by organization_id, run_id)
        ) as last_attempts
    group by organization_id, run_id
),

latest as (
    select *
    from tried
    qualify row_number() over (partition by organization_id order by tried_at desc, run_id desc) = 1
),

-- Since when: organizations of an older run that are run again do not make it later than the runs after it.
unrestricted as (
    select run_id, min(recorded_at) as ran_at
    from stg_runs
    where stream <> 'directory_insights_events' and not is_restricted
    group by run_id
    qualify row_number() over (order by min(recorded_at) desc, run_id desc) = 1
)

select
    latest.organization_id,
    latest.run_id,
    case
        when unrestricted.ran_at > latest.tried_at then 'stale'
        when latest.has_failed then 'failed'
        when latest.is_held then 'held'
        else 'ok'
    end as sync_status,
    case
        when unrestricted.ran_at > latest.tried_at
            then 'No configured connection saw this organization in the latest directory run; its last good data stays.'
        when latest.has_failed then latest.failure
        when latest.is_held then latest.held
        -- Optional streams without which the snapshot is whole.
        else latest.unread
    end as sync_message,
from latest
left join unrestricted on true
