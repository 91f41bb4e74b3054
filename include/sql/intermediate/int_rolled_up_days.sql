-- grain:  one row per organization and day that is rolled up
-- inputs: rollup_units, int_excluded
-- why:    of the roll-ups' files only these days count: others are of units that are gone, or left out on purpose

select distinct organization_id, date
from rollup_units
anti join int_excluded using (organization_id)
