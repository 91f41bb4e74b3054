-- grain:  one row per account, or access to an application, that is there without an open version; and the reverse
-- inputs: users, user_history, application_users, access_history
-- why:    what is true now stands in two places: as it is, and as the latest version of its history

with

open_accounts as (
    select organization_id, user_id
    from user_history
    where valid_to is null
),

open_access as (
    select organization_id, application_id, user_id
    from access_history
    where valid_to is null
),

present_access as (
    select organization_id, application_id, user_id
    from application_users
    where access <> 'none'
)

select organization_id, user_id, null as application_id, 'user_history' as named_in, 'users' as missing_in
from open_accounts
anti join users using (organization_id, user_id)
union all
select organization_id, user_id, null as application_id, 'users' as named_in, 'user_history' as missing_in
from users
anti join open_accounts using (organization_id, user_id)
union all
select organization_id, user_id, application_id, 'access_history' as named_in, 'application_users' as missing_in
from open_access
anti join present_access using (organization_id, application_id, user_id)
union all
select organization_id, user_id, application_id, 'application_users' as named_in, 'access_history' as missing_in
from present_access
anti join open_access using (organization_id, application_id, user_id)
