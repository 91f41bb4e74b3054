-- grain:  one row per organization and uninterrupted range that has been read, of the last $days days of each
-- inputs: usage_coverage, organizations
-- why:    what is covered and where the gaps are, to the second: usage_coverage_daily counts days

with

units as (
    select
        coverage.organization_id,
        coverage.interval_start,
        coverage.interval_end,
    from usage_coverage as coverage
    inner join organizations using (organization_id)
    where
        coverage.outcome = 'ok'
        and (list_contains(coverage.services, 'all') or list_has_all(coverage.services, ['directory', 'sso']))
        and ($organization_id::varchar is null or coverage.organization_id = $organization_id::varchar)
        and ($days::integer is null or coverage.interval_end > organizations.usage_until - to_days($days::integer))
),

edges as (
    select
        organization_id,
        interval_start as edge,
        1 as units,
    from units
    union all
    select
        organization_id,
        interval_end as edge,
        -1 as units,
    from units
),

-- Where one unit ends and the next begins nothing changes: few of a million edges are left.
steps as (
    select
        organization_id,
        edge,
        sum(units) as units,
    from edges
    group by organization_id, edge
    having sum(units) <> 0
),

open_units as (
    select
        organization_id,
        edge,
        sum(units) over (partition by organization_id order by edge) as units,
    from steps
),

-- A range begins where nothing was open before, and ends where nothing is any longer.
ends as (
    select
        organization_id,
        edge,
        units,
        coalesce(lag(units) over (partition by organization_id order by edge), 0) as units_before,
    from open_units
),

ranges as (
    select
        organization_id,
        edge as range_start,
        units,
        lead(edge) over (partition by organization_id order by edge) as range_end,
    from ends
    where units = 0 or units_before = 0
)

select
    organization_id,
    range_start,
    range_end,
from ranges
where units > 0
