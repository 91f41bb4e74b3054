-- grain:  one row per recorded step of an action on one target
-- inputs: landing/user_actions
-- why:    what was asked for, begun and ended, as the runs wrote it down step by step; older files call outcomes by
--         other names

select
    organization_id,
    action_id,
    requested_at,
    requested_by,
    approved_by,
    dag_id,
    run_id,
    connection_id,
    action,
    target,
    username,
    email,
    is_dry_run,
    case
        when outcome = 'already_so' then 'unchanged'
        when outcome = 'not_done' and (message like 'rejected by %' or message like 'nobody approved within %')
            then 'refused'
        when outcome in ('left_out', 'not_done') then 'skipped'
        else outcome
    end as outcome,
    message,
    request,
    recorded_at,
from landed_user_actions
anti join int_excluded using (organization_id)
