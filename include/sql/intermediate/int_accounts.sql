-- grain:  one row per organization and account
-- inputs: state.users, state.administrators
-- why:    who has an account: every user ever seen, and every administrator whose e-mail no present user has

with

users as (
    select * from state.users
),

administrators as (
    select * from state.administrators
),

user_accounts as (
    select
        organization_id,
        user_id,
        'user' as account_type,
        email,
        username,
        first_name,
        last_name,
        display_name,
        department,
        job_title,
        manager_id,
        employee_id,
        cost_center,
        company,
        location,
        created_at,
        state,
        if(deleted_at is null, present_status, 'deleted') as status,
        roles,
        is_admin,
        is_mfa_enabled,
        groups,
        first_seen_at,
        last_seen_at,
        deleted_at,
    from users
),

present_emails as (
    select distinct organization_id, lower(email) as email_key
    from users
    where deleted_at is null and email is not null
),

administrator_accounts as (
    select
        administrators.organization_id,
        administrators.administrator_id as user_id,
        'admin' as account_type,
        administrators.email,
        null as username,
        administrators.first_name,
        administrators.last_name,
        coalesce(
            administrators.display_name,
            nullif(concat_ws(' ', administrators.first_name, administrators.last_name), ''),
            administrators.email
        ) as display_name,
        null as department,
        null as job_title,
        null as manager_id,
        null as employee_id,
        null as cost_center,
        null as company,
        null as location,
        administrators.created_at,
        null as state,
        if(administrators.deleted_at is null, administrators.present_status, 'deleted') as status,
        role_list(administrators.role_names, []) as roles,
        true as is_admin,
        administrators.is_mfa_enabled,
        cast([] as varchar[]) as groups,
        administrators.first_seen_at,
        administrators.last_seen_at,
        administrators.deleted_at,
    from administrators
    anti join present_emails
        on
            administrators.organization_id = present_emails.organization_id
            and lower(administrators.email) = present_emails.email_key
)

select * from user_accounts
union all by name
select * from administrator_accounts
