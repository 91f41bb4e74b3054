-- grain:  one row per day of one organization with a success that is nobody's
-- inputs: usage_daily; the variables that `filters` sets
-- why:    only the events of such days are looked into for whom they may be about

select distinct date
from usage_daily
where
    organization_id = getvariable('organization_id')
    and user_id is null
    and successes > 0
    and last_at >= getvariable('unused_since')
order by date
