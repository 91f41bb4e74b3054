-- grain:  one row per organization, day, source and application with a success or a failure
-- inputs: usage_daily
-- why:    the course of usage without its people: a small fraction of usage_daily's rows, for charts and trends

select
    organization_id,
    date,
    source,
    application_id,
    count_if(successes > 0 and user_id is not null)::bigint as users,
    sum(successes)::bigint as successes,
    sum(failures)::bigint as failures,
from usage_daily
group by organization_id, date, source, application_id
order by organization_id, date, source, application_id
