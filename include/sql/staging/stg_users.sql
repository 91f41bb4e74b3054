-- grain:  one row per organization and user of this round of snapshots
-- inputs: landing/systemusers
-- why:    JumpCloud's names become plain ones, once; empty text becomes null

with

source as (
    select
        partition_of(filename, 'organization_id') as organization_id,
        user_id,
        strptime(partition_of(filename, 'snapshot_at'), '%Y%m%dT%H%M%SZ') as snapshot_at,
        payload,
        from_json(
            payload,
            '{
                "email": "VARCHAR", "username": "VARCHAR", "firstname": "VARCHAR", "lastname": "VARCHAR",
                "displayname": "VARCHAR", "department": "VARCHAR", "jobTitle": "VARCHAR", "manager": "VARCHAR",
                "employeeIdentifier": "VARCHAR", "costCenter": "VARCHAR", "company": "VARCHAR",
                "location": "VARCHAR",
                "created": "VARCHAR", "state": "VARCHAR", "activated": "JSON", "suspended": "JSON",
                "account_locked": "JSON", "password_expired": "JSON", "totp_enabled": "JSON",
                "mfa": {"configured": "JSON"}, "mfaEnrollment": {"overallStatus": "VARCHAR"},
                "admin": {"roleName": "VARCHAR", "roleNames": ["VARCHAR"]}
            }'
        ) as j,
    from read_parquet(getvariable('systemusers_files'), hive_partitioning = false, filename = true)
),

renamed as (
    select
        organization_id,
        user_id,
        snapshot_at,
        nullif(j.email, '') as email,
        nullif(j.username, '') as username,
        nullif(j.firstname, '') as first_name,
        nullif(j.lastname, '') as last_name,
        nullif(j.displayname, '') as given_display_name,
        nullif(j.department, '') as department,
        nullif(j.jobtitle, '') as job_title,
        nullif(j.manager, '') as manager_id,
        nullif(j.employeeidentifier, '') as employee_id,
        nullif(j.costcenter, '') as cost_center,
        nullif(j.company, '') as company,
        nullif(j.location, '') as location,
        moment_of(j.created) as created_at,
        nullif(j.state, '') as state,
        coalesce(j.activated = 'false', false) as is_password_pending,
        coalesce(j.suspended = 'true', false) as is_suspended,
        coalesce(j.account_locked = 'true', false) as is_locked,
        coalesce(j.password_expired = 'true', false) as is_password_expired,
        coalesce(j.totp_enabled = 'true', false)
        or coalesce(j.mfa.configured = 'true', false)
        or coalesce(j.mfaenrollment.overallstatus = 'ENROLLED', false) as is_mfa_enabled,
        coalesce(json_type(payload, '$.admin') = 'OBJECT', false) as has_admin_object,
        list_filter(
            list_prepend(j.admin.rolename, coalesce(j.admin.rolenames, [])),
            lambda role: role <> ''
        ) as admin_roles,
    from source
)

select * from renamed
