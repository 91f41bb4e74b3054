-- grain:  one row per organization and user group of this round of snapshots
-- inputs: landing/usergroups
-- why:    JumpCloud's names become plain ones, once; empty text becomes null

with

source as (
    select *
    from read_parquet(getvariable('usergroups_files'), hive_partitioning = false, filename = true)
),

renamed as (
    select
        partition_of(filename, 'organization_id') as organization_id,
        group_id,
        nullif(payload ->> '$.name', '') as name,
    from source
)

select * from renamed
