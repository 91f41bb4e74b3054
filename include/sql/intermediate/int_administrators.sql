-- grain:  one row per organization of this round and administrator ever seen in it
-- inputs: stg_administrators, stg_organizations, int_streams, state.administrators, and state.roles as folded
-- why:    folds one snapshot into the state: who is there is as the snapshot says, who is gone is as last known, and
--         everybody is where the snapshot is without the list of administrators

with

-- A role that the administrator's row does not name may be named by the list of roles.
named as (
    select
        administrators.organization_id,
        administrators.administrator_id,
        list(roles.role_name order by roles.role_name) as role_names,
    from stg_administrators as administrators
    inner join state.roles as roles
        on
            administrators.organization_id = roles.organization_id
            and list_contains(administrators.role_ids, roles.role_id)
    where len(administrators.given_role_names) = 0 and roles.role_name is not null
    group by all
),

seen as (
    select
        administrators.*,
        coalesce(named.role_names, administrators.given_role_names) as role_names,
    from stg_administrators as administrators
    left join named using (organization_id, administrator_id)
),

rounds as (
    select organization_id, snapshot_at from stg_organizations
),

known as (
    select known.*
    from state.administrators as known
    inner join rounds using (organization_id)
),

present as (
    select
        seen.organization_id,
        seen.administrator_id,
        seen.email,
        seen.first_name,
        seen.last_name,
        seen.display_name,
        seen.created_at,
        if(seen.is_suspended, 'suspended', 'active') as present_status,
        seen.role_names,
        seen.is_mfa_enabled,
        coalesce(known.first_seen_at, seen.snapshot_at) as first_seen_at,
        seen.snapshot_at as last_seen_at,
        cast(null as timestamp) as deleted_at,
    from seen
    left join known using (organization_id, administrator_id)
),

listed as (
    select organization_id
    from int_streams
    where stream = 'administrators'
),

gone as (
    select
        known.* replace (
            if(listed.organization_id is null, known.deleted_at, coalesce(known.deleted_at, rounds.snapshot_at))
                as deleted_at
        ),
    from known
    inner join rounds using (organization_id)
    left join listed using (organization_id)
    anti join seen using (organization_id, administrator_id)
)

select * from present
union all by name
select * from gone
