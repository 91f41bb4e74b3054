-- grain:  one row per organization and account
-- inputs: int_accounts, state.access, state.applications, usage_daily, int_usage_state
-- why:    who has an account, in which status and role, and when it was last used, through what

with

usage as (
    select
        daily.organization_id,
        daily.user_id,
        max(daily.last_at) as last_used_at,
        -- Of several at the same instant: sso, then the user portal, then the administrators'.
        arg_max(
            daily.source,
            (daily.last_at, case daily.source when 'sso' then 3 when 'user_portal' then 2 else 1 end)
        ) as last_used_via,
        max(daily.last_at) filter (where daily.source <> 'sso') as last_portal_login_at,
        max(daily.last_at) filter (where daily.source = 'sso') as last_sso_at,
        count(distinct daily.date)
        filter (where daily.date between organizations.last_day - 29 and organizations.last_day)
            as usage_days_30d,
    from usage_daily as daily
    inner join int_usage_state as organizations using (organization_id)
    where daily.successes > 0
    group by all
),

reach as (
    select access.organization_id, access.user_id, count(*) as application_count
    from state.access as access
    inner join state.applications as applications using (organization_id, application_id)
    where applications.deleted_at is null
    group by all
)

select
    accounts.organization_id,
    accounts.user_id,
    accounts.account_type,
    accounts.email,
    accounts.username,
    accounts.first_name,
    accounts.last_name,
    accounts.display_name,
    accounts.department,
    accounts.job_title,
    accounts.manager_id,
    accounts.employee_id,
    accounts.cost_center,
    accounts.company,
    accounts.location,
    accounts.created_at,
    accounts.state,
    accounts.status,
    if(accounts.status in ('deleted', 'suspended'), 'past', 'current') as lifecycle,
    accounts.roles,
    accounts.is_admin,
    accounts.is_mfa_enabled,
    accounts.groups,
    coalesce(reach.application_count, 0) as application_count,
    usage.last_used_at,
    usage.last_used_via,
    usage.last_portal_login_at,
    usage.last_sso_at,
    rolling_count(
        usage.usage_days_30d,
        usage_state_of(usage.last_used_at, organizations.is_known),
        organizations.is_known_30d
    ) as usage_days_30d,
    usage_state_of(usage.last_used_at, organizations.is_known) as usage_state,
    idle_days_of(
        usage_state_of(usage.last_used_at, organizations.is_known),
        organizations.usage_until,
        [organizations.usage_from, usage.last_used_at, accounts.created_at]
    ) as idle_days,
    accounts.first_seen_at,
    accounts.last_seen_at,
    accounts.deleted_at,
from int_accounts as accounts
inner join int_usage_state as organizations using (organization_id)
left join usage using (organization_id, user_id)
left join reach using (organization_id, user_id)
