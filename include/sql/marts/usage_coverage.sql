-- grain:  one row per organization and landed unit of events
-- inputs: int_coverage
-- why:    what has been read, and what of it proves nothing

select
    organization_id,
    interval_start,
    interval_end,
    events,
    services,
    landed_at,
    outcome,
    reason,
from int_coverage
