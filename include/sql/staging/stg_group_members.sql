-- grain:  one row per organization, user group and member of this round of snapshots
-- inputs: landing/usergroup_members
-- why:    who is in which group

with

source as (
    select *
    from read_parquet(getvariable('usergroup_members_files'), hive_partitioning = true, hive_types_autocast = false)
),

renamed as (
    select
        organization_id,
        group_id,
        user_id,
    from source
    where payload ->> '$.to.type' = 'user'
)

select * from renamed
