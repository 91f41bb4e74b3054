-- grain:  one row per version of an organization's user's access to an application
-- inputs: state.access_history
-- why:    what was true when: valid_from is the first snapshot that shows it, valid_to the first that does not

select
    organization_id,
    application_id,
    user_id,
    access,
    via_group_ids,
    valid_from,
    valid_to,
from state.access_history
