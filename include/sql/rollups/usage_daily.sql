-- grain:  one row per organization, day, source, actor as the event names it, and application
-- inputs: stg_events
-- why:    usage rolled up before anybody is looked for, so that a user who appears later is still matched

with

usage_events as (
    select
        organization_id,
        date,
        case event_type
            when 'user_login_attempt' then 'user_portal'
            when 'admin_login_attempt' then 'admin_portal'
            when 'sso_auth' then 'sso'
        end as source,
        actor_id,
        actor_username,
        actor_email,
        if(event_type = 'sso_auth', application_id, null) as application_id,
        event_at,
        is_success,
    from stg_events
    where event_type in ('user_login_attempt', 'admin_login_attempt', 'sso_auth') and is_success is not null
)

select
    organization_id,
    date,
    source,
    actor_id,
    actor_username,
    actor_email,
    application_id,
    count_if(is_success) as successes,
    count_if(not is_success) as failures,
    min(event_at) filter (where is_success) as first_at,
    max(event_at) filter (where is_success) as last_at,
from usage_events
group by all
