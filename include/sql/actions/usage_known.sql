-- grain:  one row per unit of events of one organization that is known to be complete; one without where there is none
-- inputs: organizations, usage_coverage
-- why:    whether the time in which somebody is said to have used nothing has been read, all of it, log-ins and SSO
--         alike

select
    organizations.organization_name,
    organizations.directory_synced_at,
    organizations.usage_state,
    organizations.usage_state_reason,
    organizations.usage_until,
    units.interval_start,
    units.interval_end,
from organizations
left join usage_coverage as units
    on
        organizations.organization_id = units.organization_id
        and units.outcome = 'ok'
        and (list_contains(units.services, 'all') or list_has_all(units.services, ['directory', 'sso']))
where organizations.organization_id = getvariable('organization_id')
order by units.interval_start
