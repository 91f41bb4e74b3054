-- grain:  one row per organization
-- inputs: organizations, usage_coverage_daily
-- why:    the choice of organizations, and the range that statements about usage stand on

with

covered as (
    select
        organization_id,
        min(date) as covered_from,
    from usage_coverage_daily
    group by organization_id
)

select
    organization_id,
    organization_name,
    usage_state,
    usage_state_reason,
    usage_from,
    usage_until,
    known_days,
    usage_state = 'available' and usage_from is not null as is_usage_known,
    covered_from,
from organizations
left join covered using (organization_id)
order by organization_name, organization_id
