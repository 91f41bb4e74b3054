-- grain:  one row per organization, application and object bound to it in this round of snapshots
-- inputs: landing/application_associations
-- why:    who may reach an application by name, and which groups may

with

source as (
    select *
    from read_parquet(getvariable('application_associations_files'), hive_partitioning = false, filename = true)
),

renamed as (
    select
        partition_of(filename, 'organization_id') as organization_id,
        application_id,
        target_type,
        target_id,
    from source
)

select * from renamed
