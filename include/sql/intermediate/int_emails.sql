-- grain:  one row per organization and e-mail in lower case
-- inputs: int_accounts
-- why:    an e-mail that an event gives is the present user's, else the administrator's, else a deleted user's

select organization_id, lower(email) as email_key, user_id
from int_accounts
where email is not null
qualify
    row_number() over (
        partition by organization_id, email_key
        order by
            case
                when account_type = 'user' and deleted_at is null then 1
                when account_type = 'admin' then 2
                else 3
            end,
            deleted_at is not null,
            last_seen_at desc,
            user_id desc
    ) = 1
