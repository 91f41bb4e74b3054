-- grain:  one row: an organization
-- inputs: organizations
-- why:    whether it is known who has not used anything, and of which time

select
    organization_name,
    directory_synced_at,
    usage_state,
    usage_state_reason,
    usage_from,
    usage_until,
from organizations
where organization_id = getvariable('organization_id')
