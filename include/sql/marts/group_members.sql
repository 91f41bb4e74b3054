-- grain:  one row per organization, user group and member that the user list names
-- inputs: state.group_members
-- why:    a list column answers whose groups, an edge joins

select
    organization_id,
    group_id,
    user_id,
from state.group_members
