-- grain:  one row per organization of this round of snapshots
-- inputs: landing/organizations
-- why:    JumpCloud's display name, empty ones as null

with

source as (
    select *
    from read_parquet(getvariable('organizations_files'), hive_partitioning = true, hive_types_autocast = false)
),

renamed as (
    select
        organization_id,
        strptime(snapshot_at, '%Y%m%dT%H%M%SZ') as snapshot_at,
        _connection_id as connection_id,
        nullif(payload ->> '$.displayName', '') as organization_name,
    from source
)

select * from renamed
