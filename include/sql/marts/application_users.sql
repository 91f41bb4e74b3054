-- grain:  one row per organization, application and user with access now or any use
-- inputs: int_accounts, int_known_applications, state.access, int_access_since, usage_daily, int_usage_state
-- why:    who can reach an application, how and since when, and who used it

with

accounts as (
    select organization_id, user_id, created_at from int_accounts
),

usage as (
    select
        daily.organization_id,
        daily.application_id,
        daily.user_id,
        min(daily.first_at) as first_used_at,
        max(daily.last_at) as last_used_at,
        sum(daily.successes)
        filter (where daily.date between organizations.last_day - 29 and organizations.last_day)::bigint
            as uses_30d,
        sum(daily.successes)
        filter (where daily.date between organizations.last_day - 89 and organizations.last_day)::bigint
            as uses_90d,
        count(distinct daily.date)
        filter (where daily.date between organizations.last_day - 29 and organizations.last_day)
            as usage_days_30d,
    from usage_daily as daily
    inner join int_usage_state as organizations using (organization_id)
    where daily.application_id is not null and daily.successes > 0
    group by all
),

pairs as (
    select
        coalesce(usage.organization_id, access.organization_id) as organization_id,
        coalesce(usage.application_id, access.application_id) as application_id,
        coalesce(usage.user_id, access.user_id) as user_id,
        coalesce(access.access, 'none') as access,
        coalesce(access.via_group_ids, []) as via_group_ids,
        usage.first_used_at,
        usage.last_used_at,
        usage.uses_30d,
        usage.uses_90d,
        usage.usage_days_30d,
    from usage
    full join state.access as access using (organization_id, application_id, user_id)
),

known as (
    select
        pairs.*,
        accounts.created_at,
        if(pairs.access = 'none', null, since.access_since) as access_since,
        organizations.usage_from,
        organizations.usage_until,
        organizations.is_known_30d,
        organizations.is_known_90d,
        usage_state_of(pairs.last_used_at, organizations.is_known and applications.is_measured) as usage_state,
    from pairs
    inner join accounts using (organization_id, user_id)
    inner join int_usage_state as organizations using (organization_id)
    inner join int_known_applications as applications using (organization_id, application_id)
    left join int_access_since as since using (organization_id, application_id, user_id)
)

select
    organization_id,
    application_id,
    user_id,
    access,
    via_group_ids,
    access_since,
    first_used_at,
    last_used_at,
    rolling_count(uses_30d, usage_state, is_known_30d) as uses_30d,
    rolling_count(uses_90d, usage_state, is_known_90d) as uses_90d,
    rolling_count(usage_days_30d, usage_state, is_known_30d) as usage_days_30d,
    usage_state,
    if(
        access = 'none',
        null,
        idle_days_of(usage_state, usage_until, [usage_from, last_used_at, created_at, access_since])
    ) as idle_days,
from known
