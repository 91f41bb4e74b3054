-- grain:  one row per organization and user group
-- inputs: state.groups
-- why:    what the ids in via_group_ids are called

select
    organization_id,
    group_id,
    name,
from state.groups
