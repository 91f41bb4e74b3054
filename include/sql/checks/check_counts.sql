-- grain:  one row per file whose rows were not as many, when it was read, as it says were landed
-- inputs: state.read_counts: the snapshots that this build folded, and every unit that is rolled up
-- why:    a file that lost rows after it was written would go unnoticed

select
    nullif(regexp_extract(path, 'organization_id=([^/]+)', 1), '') as organization_id,
    path,
    rows as rows_read,
    landed_rows,
from state.read_counts
where rows <> landed_rows
