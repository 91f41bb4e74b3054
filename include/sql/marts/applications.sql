-- grain:  one row per organization and application
-- inputs: state.applications, int_usage_applications, application_users, usage_daily, int_accounts, int_usage_state
-- why:    which applications exist, how many people can reach them, and who uses them

with

listed as (
    select * from state.applications
),

-- Removed before the first snapshot: only its events remember it.
remembered as (
    select *
    from int_usage_applications
    anti join listed using (organization_id, application_id)
),

applications as (
    select
        organization_id,
        application_id,
        name,
        catalog_name,
        sso_type,
        is_active,
        deleted_at is null as is_listed,
        created_at,
        first_seen_at,
        last_seen_at,
        deleted_at,
    from listed
    union all by name
    select organization_id, application_id, name, catalog_name, sso_type, false as is_listed
    from remembered
),

usage as (
    select
        daily.organization_id,
        daily.application_id,
        max(daily.last_at) as last_used_at,
        count(distinct accounts.user_id) filter (where daily.date > organizations.last_day - 30) as users_active_30d,
    from usage_daily as daily
    inner join int_usage_state as organizations using (organization_id)
    left join int_accounts as accounts
        on
            daily.organization_id = accounts.organization_id
            and daily.user_id = accounts.user_id
    where daily.application_id is not null and daily.successes > 0
    group by all
),

reach as (
    select
        pairs.organization_id,
        pairs.application_id,
        count(*) as users_with_access,
        count_if(pairs.last_used_at is null)::bigint as users_never_used,
    from application_users as pairs
    inner join int_accounts as accounts using (organization_id, user_id)
    where pairs.access <> 'none' and accounts.status <> 'deleted'
    group by all
)

select
    applications.organization_id,
    applications.application_id,
    applications.name,
    applications.catalog_name,
    applications.sso_type,
    applications.is_active,
    applications.is_listed,
    applications.created_at,
    coalesce(reach.users_with_access, 0) as users_with_access,
    if(
        usage_state_of(usage.last_used_at, organizations.usage_state) = 'unknown',
        null,
        coalesce(usage.users_active_30d, 0)
    ) as users_active_30d,
    if(organizations.usage_state = 'available', coalesce(reach.users_never_used, 0), null) as users_never_used,
    usage.last_used_at,
    usage_state_of(usage.last_used_at, organizations.usage_state) as usage_state,
    applications.first_seen_at,
    applications.last_seen_at,
    applications.deleted_at,
from applications
inner join int_usage_state as organizations using (organization_id)
left join usage using (organization_id, application_id)
left join reach using (organization_id, application_id)
