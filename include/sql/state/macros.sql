-- grain:  none: functions that more than one model needs
-- inputs: what each names; of two lists of role names the first decides the spelling
-- why:    role names are told apart in lower case, and spelt as the administrator list has them; what is said of usage
--         is said alike of users, applications and both
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

-- What the folders of a landed file say: the last of that name, for the data root may lie in others (`env=prod`), which
-- DuckDB's own hive_partitioning makes columns of.
create or replace temp macro partition_of(file, name) as regexp_extract(file, '(?s).*/' || name || '=([^/]*)/', 1);

-- Text that says true or false; any other says nothing.
create or replace temp macro flag_of(told) as
    case told when 'true' then true when 'false' then false end;

-- What no calendar of four digits holds is no time: clients cannot read it.
create or replace temp macro within_calendar(moment) as
    if(moment between timestamp '0001-01-01' and timestamp '9999-12-31 23:59:59.999999', moment, null);

-- A time as JumpCloud writes it, in UTC; any other text says nothing.
create or replace temp macro moment_of(told) as
    within_calendar(try_cast(upper(told) as timestamptz) at time zone 'UTC');

-- `is_known`: whether use would have been seen, in the known range of the organization.
create or replace temp macro usage_state_of(last_used_at, is_known) as
    case
        when last_used_at is not null then 'used'
        when is_known then 'never_used'
        else 'unknown'
    end;

-- A count stands; zero is known only where the whole window is.
create or replace temp macro rolling_count(counted, usage_state, is_window_known) as
    case
        when usage_state = 'unknown' then null
        when counted > 0 then counted
        when is_window_known then 0
    end;

-- Whole days of 24 hours without use, from the latest of what is not null to the end of the known range.
create or replace temp macro idle_days_of(usage_state, usage_until, since) as
    if(
        usage_state = 'unknown' or usage_until is null,
        null,
        greatest((epoch_us(usage_until) - epoch_us(list_max(since))) // 86_400_000_000, 0)
    );
