-- grain:  one row per day of an account's use in the days up to the last covered one
-- inputs: usage_daily, organizations
-- why:    when somebody was active; of a few months only, for usage_daily holds month after month

select
    daily.date,
    sum(daily.successes)::bigint as successes,
    sum(daily.failures)::bigint as failures,
from usage_daily as daily
inner join organizations using (organization_id)
where
    daily.organization_id = $organization_id
    and daily.user_id = $user_id
    and daily.date >= $first_day::date
group by daily.date
order by daily.date
