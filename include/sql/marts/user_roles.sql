-- grain:  one row per organization, account that is not deleted, and role
-- inputs: users
-- why:    `users.roles` one by one, to be joined and counted

select
    organization_id,
    user_id,
    unnest(roles) as role,
from users
where status <> 'deleted'
