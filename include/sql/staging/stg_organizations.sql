-- grain:  one row per organization of this round of snapshots
-- inputs: landing/organizations
-- why:    JumpCloud's display name, empty ones as null

with

source as (
    select *
    from read_parquet(getvariable('organizations_files'), hive_partitioning = false, filename = true)
),

renamed as (
    select
        partition_of(filename, 'organization_id') as organization_id,
        strptime(partition_of(filename, 'snapshot_at'), '%Y%m%dT%H%M%SZ') as snapshot_at,
        _connection_id as connection_id,
        nullif(payload ->> '$.displayName', '') as organization_name,
    from source
)

select * from renamed
