-- grain:  one row per organization and day of which usage adds up to something else than what is rolled up
-- inputs: the roll-ups' files, usage_daily, usage_by_day, organizations
-- why:    between roll-ups and marts actors are looked for and people left out: neither may lose or double a use

with

-- What is shown as it was last has been made of other roll-ups.
as_built as (
    select organization_id
    from organizations
    where not (sync_status = 'failed' and coalesce(sync_message, '') like 'Shown as it was last%')
),

-- Days that the units do not name are of units that are gone.
rolled_up_days as (
    select distinct organization_id, date
    from read_parquet(getvariable('units_files'), hive_partitioning = false)
    semi join as_built using (organization_id)
),

rolled_up as (
    select
        organization_id,
        date,
        sum(successes)::bigint as successes,
        sum(failures)::bigint as failures,
    from read_parquet(getvariable('usage_daily_files'), hive_partitioning = false)
    semi join rolled_up_days using (organization_id, date)
    group by organization_id, date
),

daily as (
    select
        organization_id,
        date,
        sum(successes)::bigint as successes,
        sum(failures)::bigint as failures,
    from usage_daily
    group by organization_id, date
),

by_day as (
    select
        organization_id,
        date,
        sum(successes)::bigint as successes,
        sum(failures)::bigint as failures,
    from usage_by_day
    group by organization_id, date
)

select
    organization_id,
    date,
    rolled_up.successes as successes_rolled_up,
    daily.successes as successes_of_usage_daily,
    by_day.successes as successes_of_usage_by_day,
    rolled_up.failures as failures_rolled_up,
    daily.failures as failures_of_usage_daily,
    by_day.failures as failures_of_usage_by_day,
from rolled_up
full join daily using (organization_id, date)
full join by_day using (organization_id, date)
left join as_built using (organization_id)
where
    (
        as_built.organization_id is not null
        and (
            daily.successes is distinct from rolled_up.successes
            or daily.failures is distinct from rolled_up.failures
        )
    )
    or daily.successes is distinct from by_day.successes
    or daily.failures is distinct from by_day.failures
