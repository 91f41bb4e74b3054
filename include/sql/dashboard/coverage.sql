-- grain:  one row per organization and uninterrupted range that has been read, of the last $days days of each
-- inputs: usage_coverage_daily, organizations
-- why:    the known range to the microsecond; before it, days that have been read as a whole

with

whole_days as (
    select
        coverage.organization_id,
        coverage.date,
        coverage.date - row_number() over (partition by coverage.organization_id order by coverage.date)::integer
            as range_number,
    from usage_coverage_daily as coverage
    inner join organizations using (organization_id)
    where
        coverage.covered_seconds = 86_400
        and coverage.date < organizations.usage_from
        and ($organization_id::varchar is null or coverage.organization_id = $organization_id::varchar)
        and ($days::integer is null or coverage.date + 1 > organizations.usage_until - to_days($days::integer))
)

select
    organization_id,
    min(date)::timestamp as range_start,
    max(date) + interval 1 day as range_end,
from whole_days
group by organization_id, range_number
union all
select
    organization_id,
    usage_from as range_start,
    usage_until as range_end,
from organizations
where
    usage_from is not null and ($organization_id::varchar is null or organization_id = $organization_id::varchar)
