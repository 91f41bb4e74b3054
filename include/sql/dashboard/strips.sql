-- grain:  one row per organization whose usage is known and range that has been read
-- inputs: ranges (coverage.sql), organizations
-- why:    what has been read of each organization, those with gaps first

with

counted_ranges as (
    select
        organization_id,
        count(*) as ranges,
    from ranges
    group by organization_id
),

shown as (
    select
        organizations.organization_id,
        organizations.organization_name,
        organizations.usage_from,
        organizations.usage_until,
        counted_ranges.ranges,
    from organizations
    left join counted_ranges using (organization_id)
    where
        organizations.usage_from is not null
        and ($organization_id::varchar is null or organizations.organization_id = $organization_id::varchar)
),

placed as (
    select
        *,
        row_number() over (order by ranges desc, lower(organization_name) asc, organization_id asc) as place,
        count(*) over () as organizations,
    from shown
)

select
    placed.*,
    ranges.range_start,
    ranges.range_end,
from placed
left join ranges using (organization_id)
where placed.place <= $most::integer
order by placed.place asc, ranges.range_start asc
