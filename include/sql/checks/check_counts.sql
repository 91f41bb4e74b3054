-- grain:  one row per file read in this build whose rows are not as many as it says were landed
-- inputs: state.read_counts
-- why:    a file that lost rows after it was written would go unnoticed

select
    path,
    rows as rows_read,
    landed_rows,
from state.read_counts
where rows <> landed_rows
