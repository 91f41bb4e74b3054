-- grain:  one row per organization and administrator of this round of snapshots
-- inputs: landing/administrators
-- why:    JumpCloud's names become plain ones, once; empty text becomes null

with

source as (
    select
        partition_of(filename, 'organization_id') as organization_id,
        administrator_id,
        strptime(partition_of(filename, 'snapshot_at'), '%Y%m%dT%H%M%SZ') as snapshot_at,
        from_json(
            payload,
            '{
                "email": "VARCHAR", "firstname": "VARCHAR", "lastname": "VARCHAR", "displayname": "VARCHAR",
                "created": "VARCHAR",
                "suspended": "JSON", "totpEnrolled": "JSON", "roleName": "VARCHAR", "roleNames": ["VARCHAR"],
                "role": "VARCHAR", "roles": ["VARCHAR"]
            }'
        ) as j,
    from read_parquet(getvariable('administrators_files'), hive_partitioning = false, filename = true)
),

renamed as (
    select
        organization_id,
        administrator_id,
        snapshot_at,
        nullif(j.email, '') as email,
        nullif(j.firstname, '') as first_name,
        nullif(j.lastname, '') as last_name,
        nullif(j.displayname, '') as display_name,
        moment_of(j.created) as created_at,
        coalesce(j.suspended = 'true', false) as is_suspended,
        coalesce(j.totpenrolled = 'true', false) as is_mfa_enabled,
        list_filter(list_prepend(j.rolename, coalesce(j.rolenames, [])), lambda role: role <> '') as given_role_names,
        list_prepend(j.role, coalesce(j.roles, [])) as role_ids,
    from source
)

select * from renamed
