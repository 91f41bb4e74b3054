-- grain:  one row per organization and application that an sso_auth event ever named
-- inputs: stg_events
-- why:    an application removed before the first snapshot is known from its events alone

select
    organization_id,
    application_id,
    last(application_label order by event_at, event_id) as name,
    last(application_name order by event_at, event_id) as catalog_name,
    last(application_sso_type order by event_at, event_id) as sso_type,
from stg_events
where event_type = 'sso_auth' and application_id is not null
group by organization_id, application_id
