-- grain:  one row per present user of one organization who is as the filters ask
-- inputs: users; the variables that `filters` sets
-- why:    whom an action on filters is about; an empty list, or no number, asks for nothing

select user_id
from users
where
    organization_id = getvariable('organization_id')
    and account_type = 'user'
    and status <> 'deleted'
    and (len(getvariable('statuses')) = 0 or list_contains(getvariable('statuses'), status))
    and (len(getvariable('lifecycles')) = 0 or list_contains(getvariable('lifecycles'), lifecycle))
    and (len(getvariable('departments')) = 0 or list_contains(getvariable('departments'), department))
    and (len(getvariable('group_names')) = 0 or list_has_any(groups, getvariable('group_names')))
    and (
        len(getvariable('role_names')) = 0
        or list_has_any(
            list_transform(roles, lambda role: lower(role)),
            list_transform(getvariable('role_names'), lambda role: lower(role))
        )
    )
    and (getvariable('unused_days') is null or idle_days >= getvariable('unused_days'))
order by user_id
