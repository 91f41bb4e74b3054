-- grain:  one row per organization, application and account that the filters let through
-- inputs: application_users, users, applications, organizations
-- why:    who can reach what and how, who uses it, and who never did: for the list of unused access, the pages of one
--         application and of one user, and the exports

with

-- Looked for, and put in order, once per person and application, not once per pair of them.
people as (
    select
        organization_id,
        user_id,
        display_name,
        email,
        status,
        department,
        contains(lower(concat_ws(' ', display_name, email)), lower($search::varchar)) as is_found,
        row_number() over (order by lower(display_name), organization_id, user_id) as place,
    from users
),

listed as (
    select
        organization_id,
        application_id,
        name,
        contains(lower(name), lower($search::varchar)) as is_found,
        row_number() over (order by lower(name), organization_id, application_id) as place,
    from applications
),

named as (
    select
        organization_id,
        organization_name,
        usage_from,
        usage_until,
        row_number() over (order by lower(organization_name), organization_id) as place,
    from organizations
)

select
    named.organization_name,
    pairs.organization_id,
    pairs.application_id,
    listed.name as application,
    pairs.user_id,
    people.display_name,
    people.email,
    people.status,
    people.department,
    pairs.access,
    pairs.via_group_ids,
    pairs.access_since,
    -- As the first snapshot shows it: since when is not known.
    pairs.access <> 'none' and pairs.access_since is null as had_access_before,
    pairs.first_used_at,
    pairs.last_used_at,
    pairs.uses_30d,
    pairs.uses_90d,
    pairs.usage_days_30d,
    pairs.usage_state,
    named.usage_from,
    named.usage_until,
    pairs.idle_days,
    -- One number for two names: millions of rows are sorted by it at a fraction of the cost of texts.
    if(listed.name is null or people.display_name is null, null, listed.place << 32 | people.place) as _by_application,
    if(listed.name is null or people.display_name is null, null, people.place << 32 | listed.place) as _by_name,
    named.place as _by_organization,
    -- Where it stands in the table: by it the rows of a page are fetched.
    pairs.rowid as _row,
from application_users as pairs
inner join people using (organization_id, user_id)
inner join listed using (organization_id, application_id)
inner join named using (organization_id)
where
    ($organization_id::varchar is null or pairs.organization_id = $organization_id::varchar)
    and ($application_id::varchar is null or pairs.application_id = $application_id::varchar)
    and ($user_id::varchar is null or pairs.user_id = $user_id::varchar)
    and ($has_access::boolean is null or (pairs.access <> 'none') = $has_access::boolean)
    -- As users_never_used and users_with_access count: who is deleted has no access, suspended ones hold their licence.
    and ($has_access::boolean is not true or people.status <> 'deleted')
    and ($usage_state::varchar is null or pairs.usage_state = $usage_state::varchar)
    and ($idle_days::integer is null or pairs.idle_days >= $idle_days::integer)
    and ($search::varchar is null or people.is_found or listed.is_found)
