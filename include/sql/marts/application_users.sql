-- grain:  one row per organization, application and user with access now or any use
-- inputs: int_accounts, state.access, usage_daily, int_usage_state
-- why:    who can reach an application and how, and who used it

with

accounts as (
    select organization_id, user_id from int_accounts
),

usage as (
    select
        daily.organization_id,
        daily.application_id,
        daily.user_id,
        min(daily.first_at) as first_used_at,
        max(daily.last_at) as last_used_at,
        sum(daily.successes) filter (where daily.date > organizations.last_day - 30)::bigint as uses_30d,
        sum(daily.successes) filter (where daily.date > organizations.last_day - 90)::bigint as uses_90d,
        count(distinct daily.date) filter (where daily.date > organizations.last_day - 30) as usage_days_30d,
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
        usage_state_of(pairs.last_used_at, organizations.usage_state) as usage_state,
    from pairs
    inner join accounts using (organization_id, user_id)
    inner join int_usage_state as organizations using (organization_id)
)

select
    organization_id,
    application_id,
    user_id,
    access,
    via_group_ids,
    first_used_at,
    last_used_at,
    if(usage_state = 'unknown', null, coalesce(uses_30d, 0)) as uses_30d,
    if(usage_state = 'unknown', null, coalesce(uses_90d, 0)) as uses_90d,
    if(usage_state = 'unknown', null, coalesce(usage_days_30d, 0)) as usage_days_30d,
    usage_state,
from known
