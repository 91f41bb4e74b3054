-- grain:  one row per key of a mart that is null where it may not be, or stands there more than once
-- inputs: every mart
-- why:    a duplicate key doubles every number that is joined to it

with

keys as (
    select 'organizations' as mart, [organization_id] as required, []::varchar[] as optional from organizations
    union all
    select 'capabilities', [connection_id, organization_id, kind, capability], [] from capabilities
    union all
    select 'users', [organization_id, user_id], [] from users
    union all
    select 'applications', [organization_id, application_id], [] from applications
    union all
    select 'application_users', [organization_id, application_id, user_id], [] from application_users
    union all
    select 'groups', [organization_id, group_id], [] from groups
    union all
    select 'usage_daily', [organization_id, date::varchar, source], [user_id, application_id] from usage_daily
    union all
    select 'usage_by_day', [organization_id, date::varchar, source], [application_id] from usage_by_day
    union all
    select 'usage_coverage', [organization_id, interval_start::varchar, interval_end::varchar], [] from usage_coverage
    union all
    select
        'sync_log',
        [stream, dag_id, run_id],
        [organization_id, connection_id, interval_start::varchar, interval_end::varchar]
    from sync_log
    union all
    select 'user_actions', [organization_id, action_id], [target] from user_actions
)

select mart, required, optional, count(*) as rows
from keys
group by all
having count(*) > 1 or len(list_filter(required, lambda part: part is null)) > 0
