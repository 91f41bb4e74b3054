-- grain:  one row per group of an organization
-- inputs: groups
-- why:    access has the ids of the groups that give it; people know their names

select
    group_id,
    name,
from groups
where organization_id = $organization_id
