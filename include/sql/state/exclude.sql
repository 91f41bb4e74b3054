-- grain:  none: removes rows of stg_runs
-- inputs: stg_runs
-- why:    an organization or connection that is left out on purpose leaves the warehouse; everything else is
--         computed from what stg_runs still names

create temp table int_excluded as
select organization_id
from stg_runs
where organization_id is not null
group by organization_id
having list_contains(getvariable('excluded'), arg_max(connection_id, recorded_at))
union
-- One that no run has synced may have been acted on.
select unnest(getvariable('excluded'));

delete from stg_runs
where
    organization_id in (select organization_id from int_excluded)
    or (organization_id is null and list_contains(getvariable('excluded'), connection_id));
