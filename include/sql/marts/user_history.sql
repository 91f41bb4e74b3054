-- grain:  one row per version of an organization's account
-- inputs: state.user_history
-- why:    what was true when: valid_from is the first snapshot that shows it, valid_to the first that does not

select
    organization_id,
    user_id,
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
from state.user_history
