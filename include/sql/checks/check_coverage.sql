-- grain:  one row per organization and day of which more is covered than there is or was read; and per organization
--         whose number of known days is another
-- inputs: usage_coverage_daily, usage_coverage, organizations
-- why:    what was not used is claimed of known days, so that a day which was not read must never be one

with

read_days as (
    select
        organization_id,
        interval_start::date as date,
        sum(epoch_us(interval_end) - epoch_us(interval_start)) // 1_000_000 as read_seconds,
    from usage_coverage
    where outcome = 'ok'
    group by all
),

known as (
    select organization_id, count_if(is_known) as days_known
    from usage_coverage_daily
    group by organization_id
)

select
    organization_id,
    days.date,
    days.covered_seconds,
    coalesce(read_days.read_seconds, 0) as read_seconds,
    days.is_known,
    null as known_days,
    null as days_known,
from usage_coverage_daily as days
left join read_days using (organization_id, date)
where
    days.covered_seconds not between 0 and 86_400
    or days.covered_seconds > coalesce(read_days.read_seconds, 0)
    or (days.is_known and days.covered_seconds < 86_400)
union all
select
    organization_id,
    null as date,
    null as covered_seconds,
    null as read_seconds,
    null as is_known,
    organizations.known_days,
    coalesce(known.days_known, 0) as days_known,
from organizations
left join known using (organization_id)
where organizations.known_days <> coalesce(known.days_known, 0)
