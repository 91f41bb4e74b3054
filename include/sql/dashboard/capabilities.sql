-- grain:  one row per connection, organization of those asked for, and capability
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
where list_contains($organization_ids::varchar[], capabilities.organization_id)
