-- grain:  one row per organization, user group and member of this round of snapshots
-- inputs: landing/usergroup_members
-- why:    who is in which group

with

source as (
    select *
    from read_parquet(getvariable('usergroup_members_files'), hive_partitioning = false, filename = true)
),

renamed as (
    select
        partition_of(filename, 'organization_id') as organization_id,
        group_id,
        user_id,
    from source
    where payload ->> '$.to.type' = 'user'
)

select * from renamed
