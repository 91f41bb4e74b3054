-- grain:  one row per organization and landed unit of events
-- inputs: int_coverage
-- why:    what has been read; an empty unit before an organization's first event proves nothing

select
    organization_id,
    interval_start,
    interval_end,
    events,
    services,
    landed_at,
    outcome,
    if(
        outcome = 'unverified',
        'Empty, and before the first event ever seen: JumpCloud may not keep events that long.',
        null
    ) as reason,
from int_coverage
