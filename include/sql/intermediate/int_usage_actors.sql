-- grain:  one row per organization, day, source, actor as the event names it, and application
-- inputs: rollup_usage_daily, rollup_units, int_excluded
-- why:    usage rolled up before anybody is looked for, so that a user who appears later is still matched

with

days as (
    select distinct organization_id, date
    from rollup_units
    anti join int_excluded using (organization_id)
)

select *
from rollup_usage_daily
semi join days using (organization_id, date)
