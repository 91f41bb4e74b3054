-- grain:  one row per organization, day and application that an sso_auth event names
-- inputs: stg_events
-- why:    an application removed before the first snapshot is known from its events alone, as the latest has it

select
    organization_id,
    date,
    application_id,
    last(application_label order by event_at, event_id) as name,
    last(catalog_name order by event_at, event_id) as catalog_name,
    last(application_sso_type order by event_at, event_id) as sso_type,
    max(event_at) as event_at,
    last(event_id order by event_at, event_id) as event_id,
from stg_events
where event_type = 'sso_auth' and application_id is not null
group by organization_id, date, application_id
