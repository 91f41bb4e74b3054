-- grain:  one row per organization and application of this round of snapshots
-- inputs: landing/applications
-- why:    an instance is called what its administrator labelled it, not what its template is called

with

source as (
    select
        partition_of(filename, 'organization_id') as organization_id,
        application_id,
        strptime(partition_of(filename, 'snapshot_at'), '%Y%m%dT%H%M%SZ') as snapshot_at,
        from_json(
            payload,
            '{
                "name": "VARCHAR", "displayName": "VARCHAR", "displayLabel": "VARCHAR", "active": "JSON",
                "created": "VARCHAR", "sso": {"type": "VARCHAR"}
            }'
        ) as j,
    from read_parquet(getvariable('applications_files'), hive_partitioning = false, filename = true)
),

renamed as (
    select
        organization_id,
        application_id,
        snapshot_at,
        coalesce(nullif(j.displaylabel, ''), nullif(j.displayname, ''), nullif(j.name, '')) as name,
        coalesce(nullif(j.displayname, ''), nullif(j.name, '')) as catalog_name,
        nullif(j.sso.type, '') as sso_type,
        case j.active when 'true' then true when 'false' then false end as is_active,
        moment_of(j.created) as created_at,
    from source
)

select * from renamed
