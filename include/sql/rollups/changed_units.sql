-- grain:  one row per unit that is not rolled up as the manifests know it
-- inputs: stg_units, rollup_units, int_excluded
-- why:    only the days of these are read. What is in doubt has been recorded anew, or may have landed anew: its file
--         says whether it did. What is left out on purpose stays as it is, for the day it comes back

with

held as (
    select *
    from rollup_units
    anti join int_excluded using (organization_id)
)

select
    coalesce(known.organization_id, held.organization_id) as organization_id,
    coalesce(known.date, held.date) as date,
    coalesce(known.path, held.path) as path,
    known.path is not null and held.path is not null as is_in_doubt,
    known.statements,
from stg_units as known
full join held on known.path = held.path
where
    known.path is null
    or held.path is null
    or known.statements <> held.statements
    -- A file that is not what was landed is looked at until it is.
    or held.rows <> held.landed_rows
