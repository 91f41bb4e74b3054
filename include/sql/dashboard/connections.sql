-- grain:  one row per connection whose latest attempt as a whole has failed
-- inputs: sync_log
-- why:    a connection that has never shown an organization has no other row that could say why

select
    connection_id,
    arg_max(dag_id, recorded_at) as dag_id,
    arg_max(run_id, recorded_at) as run_id,
    arg_max(reason, recorded_at) as reason,
    max(recorded_at) as recorded_at,
from sync_log
where organization_id is null and connection_id is not null
group by connection_id
having arg_max(outcome, recorded_at) = 'failed'
