-- grain:  one row per organization of this round, listed application, and present user who can reach it
-- inputs: stg_application_bindings, stg_group_members, stg_applications, stg_users
-- why:    direct bindings and those of groups are joined with memberships here, instead of asking JumpCloud to
--         walk the graph for every application: a fraction of the requests

with

bindings as (
    select bindings.*
    from stg_application_bindings as bindings
    semi join stg_applications using (organization_id, application_id)
),

paths as (
    select
        organization_id,
        application_id,
        target_id as user_id,
        null as group_id,
    from bindings
    where target_type = 'user'
    union all
    select
        bindings.organization_id,
        bindings.application_id,
        members.user_id,
        bindings.target_id as group_id,
    from bindings
    inner join stg_group_members as members
        on
            bindings.organization_id = members.organization_id
            and bindings.target_id = members.group_id
    where bindings.target_type = 'user_group'
)

select
    organization_id,
    application_id,
    user_id,
    case
        when count(group_id) = 0 then 'direct'
        when count(*) = count(group_id) then 'group'
        else 'both'
    end as access,
    -- Without nulls: what is direct has no group. Sorted and told apart afterwards, in half the time.
    list_sort(list_distinct(list(group_id))) as via_group_ids,
from paths
semi join stg_users using (organization_id, user_id)
group by all
