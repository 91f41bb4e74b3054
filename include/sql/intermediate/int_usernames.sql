-- grain:  one row per organization and user name
-- inputs: int_accounts
-- why:    a user name that an event gives is looked for exactly: among present users, else deleted ones, of whom the
--         one last seen stands

select organization_id, username, user_id
from int_accounts
where account_type = 'user' and username is not null
qualify
    row_number() over (
        partition by organization_id, username
        order by deleted_at is not null, last_seen_at desc, user_id desc
    ) = 1
