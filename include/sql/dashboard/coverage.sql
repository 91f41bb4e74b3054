-- grain:  one row per organization and uninterrupted range that has been read
-- inputs: usage_coverage, organizations
-- why:    what is known and where the gaps are; an empty unit before the first event ever seen proves nothing

with

verified as (
    select
        coverage.organization_id,
        coverage.interval_start,
        coverage.interval_end,
        coverage.events,
        max(coverage.interval_end) over (
            partition by coverage.organization_id
            order by coverage.interval_start, coverage.interval_end
            rows between unbounded preceding and 1 preceding
        ) as covered_until,
    from usage_coverage as coverage
    where
        coverage.outcome <> 'unverified'
        and ($organization_id::varchar is null or coverage.organization_id = $organization_id::varchar)
),

numbered as (
    select
        *,
        -- A range begins where nothing before it reaches.
        count_if(covered_until is null or interval_start > covered_until) over (
            partition by organization_id
            order by interval_start, interval_end
            rows between unbounded preceding and current row
        ) as range_number,
    from verified
)

select
    numbered.organization_id,
    organizations.organization_name,
    min(numbered.interval_start) as range_start,
    max(numbered.interval_end) as range_end,
    sum(numbered.events)::bigint as events,
    count(*) as units,
from numbered
inner join organizations using (organization_id)
group by numbered.organization_id, organizations.organization_name, numbered.range_number
order by organization_name, organization_id, range_start
