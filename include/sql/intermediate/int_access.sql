-- grain:  one row per organization, application and user who can reach it now
-- inputs: none yet: groups and bindings are not landed
-- why:    marts read access from one place, whatever it is computed from

select
    cast(null as varchar) as organization_id,
    cast(null as varchar) as application_id,
    cast(null as varchar) as user_id,
    cast(null as varchar) as access,
    cast(null as varchar[]) as via_group_ids,
where false
