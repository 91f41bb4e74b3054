-- grain:  one row per organization and landed unit of events
-- inputs: int_coverage
-- why:    what has been read; an empty unit before an organization's first event, or that began before JumpCloud's
--         retention, proves nothing

select
    organization_id,
    interval_start,
    interval_end,
    events,
    services,
    landed_at,
    outcome,
    case
        when is_beyond_retention
            then 'Empty, and begun before JumpCloud''s retention when it was read: events may have been gone.'
        when outcome = 'unverified'
            then 'Empty, and before the first event ever seen: JumpCloud may not keep events that long.'
    end as reason,
from int_coverage
