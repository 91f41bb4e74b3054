-- grain:  one row per organization and application that an sso_auth event ever named
-- inputs: rollup_usage_applications, int_rolled_up_days
-- why:    an application removed before the first snapshot is known from its events alone

select
    organization_id,
    application_id,
    last(name order by event_at, event_id) as name,
    last(catalog_name order by event_at, event_id) as catalog_name,
    last(sso_type order by event_at, event_id) as sso_type,
from rollup_usage_applications
semi join int_rolled_up_days using (organization_id, date)
group by organization_id, application_id
