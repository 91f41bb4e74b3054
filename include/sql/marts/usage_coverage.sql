-- grain:  one row per organization and unit of events that has landed, or interval of which none has
-- inputs: int_coverage, int_unread
-- why:    what has been read, what of it proves nothing, and what could not be read

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
union all
select
    organization_id,
    interval_start,
    interval_end,
    0 as events,
    null::varchar[] as services,
    null::timestamp as landed_at,
    outcome,
    reason,
from int_unread
