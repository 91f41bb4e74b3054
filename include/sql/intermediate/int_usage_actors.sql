-- grain:  one row per organization, day, source, actor as the event names it, and application
-- inputs: rollup_usage_daily, int_rolled_up_days
-- why:    usage rolled up before anybody is looked for, so that a user who appears later is still matched

select *
from rollup_usage_daily
semi join int_rolled_up_days using (organization_id, date)
