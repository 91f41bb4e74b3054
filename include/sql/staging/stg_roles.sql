-- grain:  one row per organization and role of this round of snapshots
-- inputs: landing/roles
-- why:    administrators may carry the id of a role alone

with

source as (
    select *
    from read_parquet(getvariable('roles_files'), hive_partitioning = true, hive_types_autocast = false)
),

renamed as (
    select
        organization_id,
        role_id,
        nullif(payload ->> '$.name', '') as role_name,
    from source
)

select * from renamed
