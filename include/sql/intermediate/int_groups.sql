-- grain:  one row per organization of this round and user group of its snapshot
-- inputs: stg_groups
-- why:    access names groups by id; people know their names. Groups that are gone are not kept

select
    organization_id,
    group_id,
    name,
from stg_groups
