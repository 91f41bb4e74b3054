-- grain:  one row per day and source with a success or a failure; their sums where date or source is null
-- inputs: usage_by_day
-- why:    the course of usage, over all organizations or of one, of one application where one is given, and its sums

with

by_source as (
    select
        date,
        source,
        sum(users)::bigint as users,
        sum(successes)::bigint as successes,
        sum(failures)::bigint as failures,
    from usage_by_day
    where
        ($organization_id::varchar is null or organization_id = $organization_id::varchar)
        and ($application_id::varchar is null or application_id = $application_id::varchar)
        and date >= $first_day::date
        and date <= $last_day::date
    group by date, source
)

select
    date,
    source,
    -- Who used two things, or came on two days, is one person.
    if(grouping(date, source) = 0, max(users), null) as users,
    coalesce(sum(successes), 0)::bigint as successes,
    coalesce(sum(failures), 0)::bigint as failures,
    sum(failures) / nullif(sum(successes) + sum(failures), 0) as share_failed,
from by_source
group by grouping sets ((date, source), (date), (source), ())
order by date, source
