-- grain:  one row per organization and account that the filters let through
-- inputs: users, organizations
-- why:    the list of users, its CSV and its exports: one query, so that they agree

select
    organizations.organization_name,
    users.organization_id,
    users.user_id,
    users.account_type,
    users.display_name,
    users.first_name,
    users.last_name,
    users.email,
    users.username,
    users.status,
    users.lifecycle,
    users.roles,
    users.is_admin,
    users.is_mfa_enabled,
    users.department,
    users.job_title,
    users.manager_id,
    users.employee_id,
    users.cost_center,
    users.company,
    users.location,
    users.groups,
    users.application_count,
    users.last_used_at,
    users.last_used_via,
    users.last_portal_login_at,
    users.last_sso_at,
    users.usage_days_30d,
    users.usage_state,
    organizations.usage_from,
    organizations.usage_until,
    users.idle_days,
    users.created_at,
    users.first_seen_at,
    users.last_seen_at,
    users.deleted_at,
from users
inner join organizations using (organization_id)
where
    ($organization_id::varchar is null or users.organization_id = $organization_id::varchar)
    and ($status::varchar is null or users.status = $status::varchar)
    and ($lifecycle::varchar is null or users.lifecycle = $lifecycle::varchar)
    and ($role::varchar is null or list_contains(users.roles, $role::varchar))
    and ($usage_state::varchar is null or users.usage_state = $usage_state::varchar)
    and ($last_used_before::timestamp is null or users.last_used_at < $last_used_before::timestamp)
    and ($idle_days::integer is null or users.idle_days >= $idle_days::integer)
    and (
        $search::varchar is null
        or contains(
            lower(concat_ws(' ', users.display_name, users.email, users.username, users.user_id)),
            lower($search::varchar)
        )
    )
