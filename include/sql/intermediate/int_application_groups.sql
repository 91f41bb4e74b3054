-- grain:  one row per organization of this round, listed application and listed user group that is bound to it
-- inputs: stg_application_bindings, stg_applications, stg_groups
-- why:    what is not listed is not there

select distinct
    bindings.organization_id,
    bindings.application_id,
    bindings.target_id as group_id,
from stg_application_bindings as bindings
semi join stg_applications using (organization_id, application_id)
semi join stg_groups as user_groups
    on
        bindings.organization_id = user_groups.organization_id
        and bindings.target_id = user_groups.group_id
where bindings.target_type = 'user_group'
