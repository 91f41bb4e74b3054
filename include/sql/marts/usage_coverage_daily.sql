-- grain:  one row per organization and UTC day, from the first covered day to the last
-- inputs: int_stretches, int_usage_state
-- why:    a day without usage and a day that was not read look alike in `usage_daily`

with

days as (
    select
        organization_id,
        unnest(
            generate_series(
                date_trunc('day', min(starts_at)), max(ends_at) - interval 1 microsecond, interval 1 day
            )
        ) as day,
    from int_stretches
    group by organization_id
),

covered_days as (
    select
        organization_id,
        starts_at,
        ends_at,
        unnest(generate_series(date_trunc('day', starts_at), ends_at - interval 1 microsecond, interval 1 day)) as day,
    from int_stretches
),

covered as (
    select
        organization_id,
        day,
        sum(epoch_us(least(ends_at, day + interval 1 day)) - epoch_us(greatest(starts_at, day))) as microseconds,
    from covered_days
    group by organization_id, day
)

select
    days.organization_id,
    days.day::date as date,
    (coalesce(covered.microseconds, 0) // 1_000_000)::bigint as covered_seconds,
    organizations.usage_from <= days.day and days.day + interval 1 day <= organizations.usage_until as is_known,
from days
inner join int_usage_state as organizations using (organization_id)
left join covered using (organization_id, day)
order by all
