-- grain:  one row per organization of this round, user group and member that the user list names
-- inputs: stg_group_members, stg_users
-- why:    a member that no list names is no account

select distinct
    organization_id,
    group_id,
    user_id,
from stg_group_members
semi join stg_users using (organization_id, user_id)
