-- grain:  one row per recorded step of an action on one target
-- inputs: landing/user_actions
-- why:    what was asked for, begun and ended, as the runs wrote it down step by step

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
    outcome,
    message,
    request,
    recorded_at,
from landed_user_actions
anti join int_excluded using (organization_id)
