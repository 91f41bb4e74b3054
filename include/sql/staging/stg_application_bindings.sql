-- grain:  one row per organization, application and object bound to it in this round of snapshots
-- inputs: landing/application_associations
-- why:    who may reach an application by name, and which groups may

with

source as (
    select *
    from read_parquet(
        getvariable('application_associations_files'), hive_partitioning = true, hive_types_autocast = false
    )
),

renamed as (
    select
        organization_id,
        application_id,
        target_type,
        target_id,
    from source
)

select * from renamed
