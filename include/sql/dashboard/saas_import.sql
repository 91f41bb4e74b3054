-- grain:  one row per account of `chosen`, which whoever runs this puts before it
-- inputs: chosen (users.sql), application_users, applications
-- why:    users as SaaS-management products import them; a licence is a listed application that the account can reach

with

licences as (
    select
        pairs.organization_id,
        pairs.user_id,
        list(distinct coalesce(applications.name, applications.application_id)) as names,
    from application_users as pairs
    inner join applications using (organization_id, application_id)
    where pairs.access <> 'none' and applications.is_listed
    group by pairs.organization_id, pairs.user_id
)

select
    chosen.user_id as id,
    chosen.email,
    chosen.first_name,
    chosen.last_name,
    if(chosen.status = 'deleted', 'deleted', 'active') as status,
    chosen.status as external_status,
    chosen.roles,
    strftime(chosen.last_used_at, '%Y-%m-%dT%H:%M:%SZ') as last_used_date,
    list_sort(coalesce(licences.names, [])) as licenses,
from chosen
left join licences using (organization_id, user_id)
