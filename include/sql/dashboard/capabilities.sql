-- grain:  one row per connection, organization and capability
-- inputs: capabilities, organizations
-- why:    what is synced, what may be done, and why not

select
    capabilities.connection_id,
    capabilities.organization_id,
    organizations.organization_name,
    capabilities.capability,
    capabilities.kind,
    capabilities.state,
    capabilities.reason,
from capabilities
left join organizations using (organization_id)
