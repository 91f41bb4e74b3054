-- grain:  one row per organization and application that the filters let through
-- inputs: applications, organizations
-- why:    the list of applications and its exports: one query, so that they agree

select
    organizations.organization_name,
    applications.organization_id,
    applications.application_id,
    applications.name,
    applications.catalog_name,
    applications.sso_type,
    applications.is_active,
    applications.is_listed,
    applications.is_measured,
    applications.users_with_access,
    applications.users_active_30d,
    applications.users_never_used,
    applications.users_idle_30d,
    applications.users_idle_90d,
    applications.last_used_at,
    applications.usage_state,
    organizations.usage_from,
    organizations.usage_until,
    applications.created_at,
    applications.first_seen_at,
    applications.last_seen_at,
    applications.deleted_at,
from applications
inner join organizations using (organization_id)
where
    ($organization_id::varchar is null or applications.organization_id = $organization_id::varchar)
    and ($is_listed::boolean is null or applications.is_listed = $is_listed::boolean)
    and ($usage_state::varchar is null or applications.usage_state = $usage_state::varchar)
    -- Of an application, whoever it was: so long must be known, and nobody have used it in that time.
    and (
        $idle_days::integer is null
        or (
            applications.usage_state <> 'unknown'
            and greatest(organizations.usage_from, applications.last_used_at, applications.created_at)
            <= organizations.usage_until - to_days($idle_days::integer)
        )
    )
    and (
        $search::varchar is null
        or contains(
            lower(concat_ws(' ', applications.name, applications.catalog_name, applications.application_id)),
            lower($search::varchar)
        )
    )
