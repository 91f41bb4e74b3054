-- grain:  one row per version of an account, the newest first
-- inputs: user_history
-- why:    what was true of a user when

select
    status,
    roles,
    is_admin,
    is_mfa_enabled,
    email,
    username,
    display_name,
    department,
    job_title,
    manager_id,
    groups,
    valid_from,
    valid_to,
    count(*) over () as versions,
from user_history
where organization_id = $organization_id and user_id = $user_id
order by valid_from desc
limit 200
