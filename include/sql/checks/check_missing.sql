-- grain:  one row per organization and mart that lacks all or some of what runs say of it
-- inputs: sync_log, organizations, users, applications, groups
-- why:    an organization that falls out of a join is in no mart, and breaks no rule there

with

-- What is recorded without a connection was no attempt to sync.
tried as (
    select distinct organization_id
    from sync_log
    where organization_id is not null and connection_id <> ''
),

landed as (
    select
        log.organization_id,
        case log.stream
            when 'systemusers' then 'users'
            when 'applications' then 'applications'
            when 'usergroups' then 'groups'
        end as mart,
        max(log.rows) as landed_rows,
    from sync_log as log
    inner join organizations
        on log.organization_id = organizations.organization_id and log.snapshot_at = organizations.directory_synced_at
    where log.outcome = 'ok' and mart is not null
    group by all
),

present as (
    select organization_id, 'users' as mart, count(*) as rows_in_mart
    from users
    where account_type = 'user' and status <> 'deleted'
    group by all
    union all
    select organization_id, 'applications' as mart, count(*) as rows_in_mart
    from applications
    where is_listed
    group by all
    union all
    select organization_id, 'groups' as mart, count(*) as rows_in_mart
    from groups
    group by all
)

select organization_id, 'organizations' as mart, null as landed_rows, 0 as rows_in_mart
from tried
anti join organizations using (organization_id)
union all
select
    organization_id,
    mart,
    landed.landed_rows,
    coalesce(present.rows_in_mart, 0) as rows_in_mart,
from landed
left join present using (organization_id, mart)
where landed.landed_rows <> coalesce(present.rows_in_mart, 0)
