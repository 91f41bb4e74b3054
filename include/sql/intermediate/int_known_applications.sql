-- grain:  one row per organization and application: listed, deleted, or named by events only
-- inputs: state.applications, int_usage_applications
-- why:    an application removed before the first snapshot is remembered by its events alone; and whether use of an
--         application would be seen at all: bookmarks and those that only import people have no sign-on

with

listed as (
    select * from state.applications
),

remembered as (
    select *
    from int_usage_applications
    anti join listed using (organization_id, application_id)
),

applications as (
    select
        organization_id,
        application_id,
        name,
        catalog_name,
        sso_type,
        is_active,
        deleted_at is null as is_listed,
        created_at,
        first_seen_at,
        last_seen_at,
        deleted_at,
    from listed
    union all by name
    select organization_id, application_id, name, catalog_name, sso_type, false as is_listed
    from remembered
)

select
    applications.*,
    named.application_id is not null or coalesce(lower(applications.sso_type) in ('saml', 'oidc'), false)
        as is_measured,
from applications
left join int_usage_applications as named using (organization_id, application_id)
