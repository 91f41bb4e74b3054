-- grain:  one row per organization and role of this round of snapshots
-- inputs: landing/roles
-- why:    administrators may carry the id of a role alone

with

source as (
    select *
    from read_parquet(getvariable('roles_files'), hive_partitioning = false, filename = true)
),

renamed as (
    select
        partition_of(filename, 'organization_id') as organization_id,
        role_id,
        nullif(payload ->> '$.name', '') as role_name,
    from source
)

select * from renamed
