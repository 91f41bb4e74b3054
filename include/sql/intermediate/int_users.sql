-- grain:  one row per organization of this round and user ever seen in it
-- inputs: stg_users, stg_groups, stg_group_members, stg_organizations, state.users, and state.administrators as folded
-- why:    folds one snapshot into the state: who is there is as the snapshot says, who is gone is as last known,
--         roles too, which is why a user meets its administrator here and not later

with

seen as (
    select * from stg_users
),

rounds as (
    select organization_id, snapshot_at from stg_organizations
),

known as (
    select known.*
    from state.users as known
    inner join rounds using (organization_id)
),

-- Only an administrator who is there gives a present user roles.
administrators as (
    select organization_id, lower(email) as email_key, role_names
    from state.administrators
    where deleted_at is null and email is not null
    qualify row_number() over (partition by organization_id, email_key order by administrator_id desc) = 1
),

owners as (
    select organization_id, lower(email) as email_key, max(user_id) as user_id
    from seen
    where email is not null
    group by all
),

-- One name per group: two groups of one name give it twice.
memberships as (
    select
        members.organization_id,
        members.user_id,
        list(user_groups.name order by user_groups.name) as groups,
    from stg_group_members as members
    inner join stg_groups as user_groups using (organization_id, group_id)
    where user_groups.name is not null
    group by all
),

administered as (
    select
        owners.organization_id,
        owners.user_id,
        administrators.role_names as administrator_roles,
    from owners
    inner join administrators using (organization_id, email_key)
),

present as (
    select
        seen.organization_id,
        seen.user_id,
        seen.email,
        seen.username,
        seen.first_name,
        seen.last_name,
        coalesce(
            seen.given_display_name,
            nullif(concat_ws(' ', seen.first_name, seen.last_name), ''),
            seen.username,
            seen.email
        ) as display_name,
        seen.department,
        seen.job_title,
        seen.manager_id,
        seen.employee_id,
        seen.cost_center,
        seen.company,
        seen.location,
        seen.created_at,
        seen.state,
        case
            when seen.state = 'SUSPENDED' or seen.is_suspended then 'suspended'
            when seen.state = 'STAGED' then 'staged'
            when seen.is_locked then 'locked'
            when seen.is_password_expired then 'password_expired'
            when seen.is_password_pending then 'password_pending'
            else 'active'
        end as present_status,
        if(
            administered.user_id is not null or seen.has_admin_object,
            role_list(coalesce(administered.administrator_roles, []), seen.admin_roles),
            ['User']
        ) as roles,
        administered.user_id is not null or seen.has_admin_object as is_admin,
        seen.is_mfa_enabled,
        coalesce(memberships.groups, []) as groups,
        coalesce(known.first_seen_at, seen.snapshot_at) as first_seen_at,
        seen.snapshot_at as last_seen_at,
        cast(null as timestamp) as deleted_at,
    from seen
    left join known using (organization_id, user_id)
    left join administered using (organization_id, user_id)
    left join memberships using (organization_id, user_id)
),

gone as (
    select known.* replace (coalesce(known.deleted_at, rounds.snapshot_at) as deleted_at, [] as groups)
    from known
    inner join rounds using (organization_id)
    anti join seen using (organization_id, user_id)
)

select * from present
union all by name
select * from gone
