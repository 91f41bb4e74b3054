-- grain:  one row: an account
-- inputs: users, organizations, usage_coverage_daily
-- why:    the page of one user

select
    users.*,
    organizations.organization_name,
    organizations.usage_state = 'available' and organizations.usage_from is not null as is_usage_known,
    organizations.usage_state_reason,
    organizations.usage_from,
    organizations.usage_until,
    organizations.known_days,
    (
        select min(days.date) from usage_coverage_daily as days
        where days.organization_id = organizations.organization_id
    ) as covered_from,
    managers.display_name as manager_name,
from users
inner join organizations using (organization_id)
left join users as managers
    on users.organization_id = managers.organization_id and users.manager_id = managers.user_id
where users.organization_id = $organization_id and users.user_id = $user_id
