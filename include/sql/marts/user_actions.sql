-- grain:  one row per attempt at an action and target
-- inputs: stg_user_actions
-- why:    who had what done to whom, and how it ended; a call that was begun and never ended may have been made

with

latest as (
    select
        *,
        -- A row that says only how it ended has the request of the step before.
        coalesce(
            request,
            last_value(request ignore nulls) over (
                partition by organization_id, action_id, target
                order by recorded_at
                rows between unbounded preceding and unbounded following
            )
        ) as known_request,
    from stg_user_actions
    qualify
        row_number() over (
            partition by organization_id, action_id, target
            order by
                recorded_at desc,
                case outcome when 'asked' then 0 when 'started' then 1 else 2 end desc
        ) = 1
)

select
    organization_id,
    action_id,
    requested_at,
    requested_by,
    approved_by,
    run_id,
    connection_id,
    action,
    target,
    username,
    email,
    is_dry_run,
    if(outcome = 'started', 'unknown', outcome) as outcome,
    if(
        outcome = 'started',
        'The task ended before it recorded how the call ended: run it again, which looks first.',
        message
    ) as message,
    known_request as request,
    recorded_at,
from latest
