-- grain:  one row per organization, day, user, application and source
-- inputs: int_usage_actors, int_usernames, int_emails, state.administrators
-- why:    the actor that an event names is looked for among all accounts, present ones first

with

actors as (
    select distinct organization_id, source, actor_id, actor_username, actor_email
    from int_usage_actors
),

resolved as (
    select
        actors.organization_id,
        actors.source,
        actors.actor_id,
        actors.actor_username,
        actors.actor_email,
        case
            when actors.source = 'admin_portal'
                then coalesce(by_email.user_id, by_administrator.user_id, actors.actor_id)
            else coalesce(actors.actor_id, by_username.user_id)
        end as user_id,
    from actors
    left join int_usernames as by_username
        on
            actors.organization_id = by_username.organization_id
            and actors.actor_username = by_username.username
    left join int_emails as by_email
        on
            actors.organization_id = by_email.organization_id
            and lower(actors.actor_email) = by_email.email_key
    left join state.administrators as administrators
        on
            actors.organization_id = administrators.organization_id
            and actors.actor_id = administrators.administrator_id
    left join int_emails as by_administrator
        on
            administrators.organization_id = by_administrator.organization_id
            and lower(administrators.email) = by_administrator.email_key
)

select
    usage.organization_id,
    usage.date,
    resolved.user_id,
    usage.application_id,
    usage.source,
    sum(usage.successes)::bigint as successes,
    sum(usage.failures)::bigint as failures,
    min(usage.first_at) as first_at,
    max(usage.last_at) as last_at,
from int_usage_actors as usage
inner join resolved
    on
        usage.organization_id = resolved.organization_id
        and usage.source = resolved.source
        and usage.actor_id is not distinct from resolved.actor_id
        and usage.actor_username is not distinct from resolved.actor_username
        and usage.actor_email is not distinct from resolved.actor_email
group by all
