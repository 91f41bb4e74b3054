-- grain:  one row per organization and stretch of covered time without a gap
-- inputs: int_coverage
-- why:    units overlap and touch; what is covered is their union. The stretch that ends last is the known range

with

ordered as (
    select
        organization_id,
        interval_start,
        interval_end,
        coalesce(
            interval_start > max(interval_end) over (
                partition by organization_id
                order by interval_start, interval_end
                rows between unbounded preceding and 1 preceding
            ),
            true
        ) as is_after_gap,
    from int_coverage
    where is_covering
),

numbered as (
    select
        *,
        count(*) filter (where is_after_gap) over (
            partition by organization_id
            order by interval_start, interval_end
            rows between unbounded preceding and current row
        ) as stretch,
    from ordered
)

select
    organization_id,
    min(interval_start) as starts_at,
    max(interval_end) as ends_at,
from numbered
group by organization_id, stretch
