-- grain:  one row per organization and application
-- inputs: int_known_applications, application_users, usage_daily, int_accounts, int_usage_state
-- why:    which applications exist, how many people can reach them, and who uses them

with

usage as (
    select
        daily.organization_id,
        daily.application_id,
        max(daily.last_at) as last_used_at,
        count(distinct accounts.user_id)
        filter (where daily.date between organizations.last_day - 29 and organizations.last_day)
            as users_active_30d,
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
        count_if(pairs.idle_days >= 30)::bigint as users_idle_30d,
        count_if(pairs.idle_days >= 90)::bigint as users_idle_90d,
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
    applications.is_measured,
    coalesce(reach.users_with_access, 0) as users_with_access,
    rolling_count(
        usage.users_active_30d,
        usage_state_of(usage.last_used_at, organizations.is_known and applications.is_measured),
        organizations.is_known_30d
    ) as users_active_30d,
    if(organizations.is_known and applications.is_measured, coalesce(reach.users_never_used, 0), null)
        as users_never_used,
    if(
        organizations.is_known
        and applications.is_measured
        and organizations.usage_from + interval 30 days <= organizations.usage_until,
        coalesce(reach.users_idle_30d, 0),
        null
    ) as users_idle_30d,
    if(
        organizations.is_known
        and applications.is_measured
        and organizations.usage_from + interval 90 days <= organizations.usage_until,
        coalesce(reach.users_idle_90d, 0),
        null
    ) as users_idle_90d,
    usage.last_used_at,
    usage_state_of(usage.last_used_at, organizations.is_known and applications.is_measured) as usage_state,
    applications.first_seen_at,
    applications.last_seen_at,
    applications.deleted_at,
from int_known_applications as applications
inner join int_usage_state as organizations using (organization_id)
left join usage using (organization_id, application_id)
left join reach using (organization_id, application_id)
