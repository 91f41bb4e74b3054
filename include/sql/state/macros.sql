-- grain:  none: functions that more than one model needs
-- inputs: two lists of role names; the first decides the spelling
-- why:    role names are told apart in lower case, and spelt as the administrator list has them
-- noqa: disable=LT02

create or replace temp macro role_list(administrator_roles, user_roles) as
    case
        when len(list_concat(administrator_roles, user_roles)) = 0 then ['Unknown']
        else list_sort(
            list_transform(
                list_distinct(
                    list_transform(list_concat(administrator_roles, user_roles), lambda role: lower(role))
                ),
                lambda key: coalesce(
                    list_filter(administrator_roles, lambda role: lower(role) = key)[1],
                    list_filter(user_roles, lambda role: lower(role) = key)[1]
                )
            )
        )
    end;

create or replace temp macro usage_state_of(last_used_at, organization_usage_state) as
    case
        when last_used_at is not null then 'used'
        when organization_usage_state = 'available' then 'never_used'
        else 'unknown'
    end;
