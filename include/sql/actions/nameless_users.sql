-- grain:  one row per name, in lower case, by which a success without a user id names somebody
-- inputs: events; the variables that `filters` sets
-- why:    a user name in another spelling, or an e-mail alone, is nobody's usage; but who bears it is not unused

with

successes as (
    select
        unnest(
            [
                payload ->> '$.initiated_by.username',
                payload ->> '$.initiated_by.email',
                payload ->> '$.resource.username',
                payload ->> '$.resource.email'
            ]
        ) as name,
    from events
    where
        organization_id = getvariable('organization_id')
        and list_contains(getvariable('nameless_days'), date)
        and event_type in ('user_login_attempt', 'sso_auth')
        and is_success
        and user_id is null
)

select distinct lower(name) as name
from successes
where name <> ''
order by name
