-- grain:  one row per organization, day, user, application and source
-- inputs: int_usage_actors, int_account_names, state.administrators
-- why:    the actor that an event names is looked for among the accounts that there were on that day, door after door

with

-- The id of a user stands as it is.
unnamed as (
    select distinct organization_id, date, source = 'admin_portal' as is_admin, actor_id, actor_username, actor_email
    from int_usage_actors
    where source = 'admin_portal' or actor_id is null
),

doors as (
    select *, 1 as turn, 'username' as door, actor_username as name
    from unnamed
    where not is_admin
    union all
    select *, 2, 'username_key', lower(actor_username)
    from unnamed
    where not is_admin
    union all
    select *, 3, 'email', lower(actor_email)
    from unnamed
    where not is_admin
    union all
    select *, 4, 'email', lower(actor_username)
    from unnamed
    where not is_admin and contains(actor_username, '@')
    union all
    select *, 1, 'admin_email', lower(actor_email)
    from unnamed
    where is_admin
    union all
    select unnamed.*, 2, 'admin_email', lower(administrators.email)
    from unnamed
    inner join state.administrators as administrators
        on
            unnamed.organization_id = administrators.organization_id
            and unnamed.actor_id = administrators.administrator_id
    where unnamed.is_admin
),

found as (
    select
        doors.organization_id,
        doors.date,
        doors.is_admin,
        doors.actor_id,
        doors.actor_username,
        doors.actor_email,
        doors.turn,
        doors.door,
        arg_max(names.user_id, (names.precedence, names.is_present, names.last_seen_at, names.user_id)) as first_of_all,
        case
            when count_if(names.is_present) = 1 then max(names.user_id) filter (where names.is_present)
            when count_if(not names.is_present) = 1 then max(names.user_id) filter (where not names.is_present)
        end as only_one,
    from doors
    inner join int_account_names as names
        on
            doors.organization_id = names.organization_id
            and doors.door = names.door
            and doors.name = names.name
            and doors.date >= coalesce(names.created_on, doors.date)
    group by all
),

resolved as (
    select
        organization_id,
        date,
        is_admin,
        actor_id,
        actor_username,
        actor_email,
        -- In another case it is whom it can only be.
        arg_min(if(door = 'username_key', only_one, first_of_all), turn)
        filter (where door <> 'username_key' or only_one is not null) as user_id,
    from found
    group by all
)

select
    usage.organization_id,
    usage.date,
    coalesce(resolved.user_id, usage.actor_id) as user_id,
    usage.application_id,
    usage.source,
    sum(usage.successes)::bigint as successes,
    sum(usage.failures)::bigint as failures,
    min(usage.first_at) as first_at,
    max(usage.last_at) as last_at,
from int_usage_actors as usage
left join resolved
    on
        usage.organization_id = resolved.organization_id
        and usage.date = resolved.date
        and (usage.source = 'admin_portal') = resolved.is_admin
        and usage.actor_id is not distinct from resolved.actor_id
        and usage.actor_username is not distinct from resolved.actor_username
        and usage.actor_email is not distinct from resolved.actor_email
group by all
