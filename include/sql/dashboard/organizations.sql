-- grain:  one row per organization
-- inputs: organizations
-- why:    the choice of organizations, and the range that statements about usage stand on

select
    organization_id,
    organization_name,
    usage_state,
    usage_state_reason,
    usage_from,
    usage_until,
from organizations
order by organization_name, organization_id
