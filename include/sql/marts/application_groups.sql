-- grain:  one row per organization, listed application and listed user group that is bound to it
-- inputs: state.application_groups
-- why:    which groups give access, those too that nobody is in

select
    organization_id,
    application_id,
    group_id,
from state.application_groups
