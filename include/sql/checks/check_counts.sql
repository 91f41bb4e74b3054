-- grain:  one row per file read in this build whose rows are not as many as were landed
-- inputs: state.read_counts, sync_log
-- why:    a file that lost rows after it was written would go unnoticed

with

landed as (
    select path, arg_max(rows, recorded_at) as rows
    from sync_log
    where outcome in ('ok', 'held') and path is not null
    group by path
)

select
    read_counts.path,
    read_counts.rows as rows_read,
    landed.rows as rows_landed,
from state.read_counts as read_counts
left join landed using (path)
where read_counts.rows is distinct from landed.rows
