-- grain:  one row per organization of this round and application ever listed in it
-- inputs: stg_applications, stg_organizations, state.applications
-- why:    folds one snapshot into the state: what is listed is as the snapshot says, what is gone is as last known

with

seen as (
    select * from stg_applications
),

rounds as (
    select organization_id, snapshot_at from stg_organizations
),

known as (
    select known.*
    from state.applications as known
    inner join rounds using (organization_id)
),

present as (
    select
        seen.organization_id,
        seen.application_id,
        seen.name,
        seen.catalog_name,
        seen.sso_type,
        seen.is_active,
        seen.created_at,
        coalesce(known.first_seen_at, seen.snapshot_at) as first_seen_at,
        seen.snapshot_at as last_seen_at,
        cast(null as timestamp) as deleted_at,
    from seen
    left join known using (organization_id, application_id)
),

gone as (
    select known.* replace (coalesce(known.deleted_at, rounds.snapshot_at) as deleted_at)
    from known
    inner join rounds using (organization_id)
    anti join seen using (organization_id, application_id)
)

select * from present
union all by name
select * from gone
