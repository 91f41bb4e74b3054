-- grain:  one row per application of those asked for and week, counted back from the last covered day
-- inputs: usage_coverage_daily, applications, usage_by_day, organizations
-- why:    the course of twelve weeks beside each application of a list; null where a week was not read as a whole

with

numbers as (
    select unnest(range(12))::integer as weeks_ago
),

weeks as (
    select
        organizations.organization_id,
        numbers.weeks_ago,
        date_trunc('day', organizations.usage_until - interval 1 microsecond) + interval 1 day
        - to_days(7 * (numbers.weeks_ago + 1)) as week_start,
        -- The newest one lasts as long as it has been read.
        least(week_start + interval 7 day, organizations.usage_until) as week_end,
    from organizations
    cross join numbers
    where organizations.usage_until is not null and list_contains($organization_ids::varchar[], organization_id)
),

read_weeks as (
    select
        weeks.organization_id,
        weeks.weeks_ago,
        weeks.week_start::date as first_day,
        coalesce(sum(coverage.covered_seconds), 0)
        = (epoch_us(weeks.week_end) - epoch_us(weeks.week_start)) // 1_000_000 as is_known,
    from weeks
    left join usage_coverage_daily as coverage
        on
            weeks.organization_id = coverage.organization_id
            and weeks.week_start <= coverage.date
            and weeks.week_end > coverage.date
    group by weeks.organization_id, weeks.weeks_ago, weeks.week_start, weeks.week_end
),

asked as (
    select
        applications.organization_id,
        applications.application_id,
        read_weeks.weeks_ago,
        read_weeks.first_day,
        read_weeks.is_known,
    from applications
    inner join read_weeks using (organization_id)
    where
        list_contains($application_ids::varchar[], applications.application_id)
        and applications.usage_state <> 'unknown'
),

used as (
    select
        usage.organization_id,
        usage.application_id,
        usage.date,
        sum(usage.successes) as successes,
    from usage_by_day as usage
    inner join organizations using (organization_id)
    where
        list_contains($application_ids::varchar[], usage.application_id)
        and usage.date > (organizations.usage_until - interval 1 microsecond)::date - 84
        and usage.date < organizations.usage_until
    group by all
)

select
    asked.organization_id,
    asked.application_id,
    asked.weeks_ago,
    if(asked.is_known, coalesce(sum(used.successes), 0), null)::bigint as successes,
from asked
left join used
    on
        asked.organization_id = used.organization_id
        and asked.application_id = used.application_id
        and asked.first_day <= used.date
        and asked.first_day + 7 > used.date
group by asked.organization_id, asked.application_id, asked.weeks_ago, asked.is_known
order by asked.organization_id asc, asked.application_id asc, asked.weeks_ago desc
