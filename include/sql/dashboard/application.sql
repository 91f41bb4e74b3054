-- grain:  one row: an application
-- inputs: applications, organizations
-- why:    the page of one application

select
    applications.*,
    organizations.organization_name,
    organizations.usage_state as organization_usage_state,
    organizations.usage_state_reason,
    organizations.usage_from,
    organizations.usage_until,
from applications
inner join organizations using (organization_id)
where applications.organization_id = $organization_id and applications.application_id = $application_id
