-- grain:  one row per organization, door, name, and account that has it
-- inputs: state.users, state.administrators
-- why:    by what names events may mean whom: users by their user name, exactly and in lower case, and by their e-mail;
--         at the admin portal administrators too, who come after present users and before deleted ones

with

users as (
    select
        organization_id,
        user_id,
        username,
        lower(email) as email_key,
        created_at::date as created_on,
        deleted_at is null as is_present,
        if(deleted_at is null, 3, 1) as precedence,
        last_seen_at,
    from state.users
),

administrators as (
    select
        organization_id,
        administrator_id as user_id,
        lower(email) as email_key,
        created_at::date as created_on,
        deleted_at is null as is_present,
        2 as precedence,
        last_seen_at,
    from state.administrators
),

names as (
    select 'username' as door, username as name, * exclude (username, email_key) from users
    union all by name
    select 'username_key' as door, lower(username) as name, * exclude (username, email_key) from users
    union all by name
    select 'email' as door, email_key as name, * exclude (username, email_key) from users
    union all by name
    select 'admin_email' as door, email_key as name, * exclude (username, email_key) from users
    union all by name
    select 'admin_email' as door, email_key as name, * exclude (email_key) from administrators
)

select *
from names
where name is not null
