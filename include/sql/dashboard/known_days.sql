-- grain:  one row per day of those asked for
-- inputs: ranges (coverage.sql), organizations
-- why:    a day that was not read is unknown, and no day without usage; how many there are of which

with

known as (
    select count(*) as organizations
    from organizations
    where
        usage_from is not null and ($organization_id::varchar is null or organization_id = $organization_id::varchar)
),

days as (
    select unnest(range($first_day::timestamp, $last_day::timestamp + interval 1 day, interval 1 day)) as day_start
),

read_days as (
    select
        days.day_start,
        count(ranges.organization_id) as touched,
        count_if(ranges.range_start <= days.day_start and ranges.range_end >= days.day_start + interval 1 day) as whole,
    from days
    left join ranges on days.day_start < ranges.range_end and days.day_start + interval 1 day > ranges.range_start
    group by days.day_start
),

judged as (
    select
        read_days.day_start::date as date,
        case
            when read_days.whole = known.organizations and known.organizations > 0 then 'known'
            when read_days.touched > 0 then 'partly'
            else 'unknown'
        end as state,
    from read_days
    cross join known
)

select
    date,
    state,
    count_if(state = 'known') over () as days_known,
    count(*) over () as days,
from judged
order by date
