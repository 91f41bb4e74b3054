-- grain:  one row: an application
-- inputs: applications, organizations, usage_coverage_daily
-- why:    the page of one application

select
    applications.*,
    organizations.organization_name,
    organizations.usage_state_reason,
    organizations.usage_from,
    organizations.usage_until,
    organizations.known_days,
    (
        select min(days.date) from usage_coverage_daily as days
        where days.organization_id = organizations.organization_id
    ) as covered_from,
from applications
inner join organizations using (organization_id)
where applications.organization_id = $organization_id and applications.application_id = $application_id
