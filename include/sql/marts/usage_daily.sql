-- grain:  one row per organization, day, user, application and source with a success or a failure
-- inputs: int_usage_daily
-- why:    who used what, when and how often; all other usage columns are computed from here

select
    organization_id,
    date,
    user_id,
    application_id,
    source,
    successes,
    failures,
    first_at,
    last_at,
from int_usage_daily
