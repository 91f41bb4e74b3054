-- grain:  one row per day and source with a success or a failure
-- inputs: usage_by_day
-- why:    the course of usage, over all organizations or of one; of one application where one is given

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
order by date, source
