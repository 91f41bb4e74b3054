-- grain:  one row per application of those asked for and week, counted back from the last covered day
-- inputs: usage_by_day, organizations
-- why:    the course of twelve weeks beside each application of a list

select
    usage.organization_id,
    usage.application_id,
    (date_diff('day', usage.date, (organizations.usage_until - interval 1 microsecond)::date) // 7)::integer
        as weeks_ago,
    sum(usage.successes)::bigint as successes,
from usage_by_day as usage
inner join organizations using (organization_id)
where
    list_contains($application_ids::varchar[], usage.application_id)
    and usage.date > (organizations.usage_until - interval 1 microsecond)::date - 84
    and usage.date < organizations.usage_until
group by all
