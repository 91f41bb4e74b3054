-- grain:  one row per id of the accounts of `chosen`, which whoever runs this puts before it
-- inputs: chosen (users.sql), application_users, applications
-- why:    users as SaaS-management products import them; a licence is a listed application that the account can reach

with

licences as (
    select
        pairs.organization_id,
        pairs.user_id,
        list(coalesce(applications.name, applications.application_id)) as names,
    from application_users as pairs
    inner join applications using (organization_id, application_id)
    where pairs.access <> 'none' and applications.is_listed
    group by pairs.organization_id, pairs.user_id
),

-- Somebody with accounts in several organizations, as a provider's administrator, is one person to whoever imports:
-- what is known of each account together. What can be one only is that of an account that is still there.
accounts as (
    select
        chosen.*,
        licences.names,
        row_number() over (
            partition by chosen.user_id
            order by chosen.status = 'deleted' asc, chosen.status = 'suspended' asc, chosen.organization_id asc
        ) as place,
    from chosen
    left join licences using (organization_id, user_id)
)

select
    user_id as id,
    min(email) filter (where place = 1) as email,
    min(first_name) filter (where place = 1) as first_name,
    min(last_name) filter (where place = 1) as last_name,
    if(bool_and(status = 'deleted'), 'deleted', 'active') as status,
    min(status) filter (where place = 1) as external_status,
    list_sort(list_distinct(flatten(list(roles)))) as roles,
    strftime(max(last_used_at), '%Y-%m-%dT%H:%M:%SZ') as last_used_date,
    list_sort(list_distinct(coalesce(flatten(list(names) filter (where names is not null)), []))) as licenses,
from accounts
group by user_id
