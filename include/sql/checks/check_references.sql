-- grain:  one row per row of a mart that names an account, an application or a group which is not there
-- inputs: application_users, group_members, application_groups, user_roles, users, applications, groups
-- why:    a row of which the other end is missing is lost in every join

with

present_users as (
    select organization_id, user_id
    from users
    where status <> 'deleted'
),

listed_applications as (
    select organization_id, application_id
    from applications
    where is_listed
),

present_access as (
    select organization_id, application_id, user_id
    from application_users
    where access <> 'none'
)

select
    organization_id,
    'application_users' as mart,
    'users' as missing_in,
    user_id,
    application_id,
    null as group_id,
from application_users
anti join users using (organization_id, user_id)
union all
select
    organization_id,
    'application_users' as mart,
    'applications' as missing_in,
    user_id,
    application_id,
    null as group_id,
from application_users
anti join applications using (organization_id, application_id)
union all
select
    organization_id,
    'application_users' as mart,
    'users that are not deleted' as missing_in,
    user_id,
    application_id,
    null as group_id,
from present_access
anti join present_users using (organization_id, user_id)
union all
select
    organization_id,
    'application_users' as mart,
    'listed applications' as missing_in,
    user_id,
    application_id,
    null as group_id,
from present_access
anti join listed_applications using (organization_id, application_id)
union all
select
    organization_id,
    'group_members' as mart,
    'users that are not deleted' as missing_in,
    user_id,
    null as application_id,
    group_id,
from group_members
anti join present_users using (organization_id, user_id)
union all
select
    organization_id,
    'group_members' as mart,
    'groups' as missing_in,
    user_id,
    null as application_id,
    group_id,
from group_members
anti join groups using (organization_id, group_id)
union all
select
    organization_id,
    'application_groups' as mart,
    'listed applications' as missing_in,
    null as user_id,
    application_id,
    group_id,
from application_groups
anti join listed_applications using (organization_id, application_id)
union all
select
    organization_id,
    'application_groups' as mart,
    'groups' as missing_in,
    null as user_id,
    application_id,
    group_id,
from application_groups
anti join groups using (organization_id, group_id)
union all
select
    organization_id,
    'user_roles' as mart,
    'users that are not deleted' as missing_in,
    user_id,
    null as application_id,
    null as group_id,
from user_roles
anti join present_users using (organization_id, user_id)
