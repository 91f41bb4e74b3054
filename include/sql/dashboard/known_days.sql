-- grain:  one row per day of those asked for
-- inputs: usage_coverage_daily
-- why:    a day that was not read is unknown, and no day without usage; how many there are of which

with

asked as (
    select *
    from usage_coverage_daily
    where $organization_id::varchar is null or organization_id = $organization_id::varchar
),

days as (
    select
        unnest(range($first_day::timestamp, $last_day::timestamp + interval 1 day, interval 1 day))::date as date
),

read_days as (
    select
        days.date,
        count_if(asked.covered_seconds > 0) as touched,
        count_if(asked.covered_seconds = 86400) as whole,
    from days
    left join asked using (date)
    group by days.date
),

judged as (
    select
        date,
        case
            when touched = 0 then 'unknown'
            when whole = (select count(distinct organization_id) from asked) then 'known'
            else 'partly'
        end as state,
    from read_days
)

select
    date,
    state,
    count_if(state = 'known') over () as days_known,
    count(*) over () as days,
from judged
order by date
