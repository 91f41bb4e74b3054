-- grain:  one row per organization of which a landed file cannot be read
-- inputs: stg_damaged, stg_snapshots
-- why:    what is damaged is missing until it is read again. What nobody can read again has failed once, in the run
--         that found it, and is told from then on: events that JumpCloud no longer keeps, a snapshot that a later one
--         follows, the record of an action

with

latest as (
    select organization_id, max(snapshot_at) as last_at
    from stg_snapshots
    group by organization_id
),

judged as (
    select
        damaged.*,
        damaged.is_lost or coalesce(damaged.snapshot_at < latest.last_at, false) as is_over,
        case
            when damaged.interval_start is not null
                then format('events from {} to {}', damaged.interval_start, damaged.interval_end)
            when damaged.snapshot_at is not null
                then format('{} of the snapshot of {}', damaged.stream, damaged.snapshot_at)
            else damaged.path
        end as what,
    from stg_damaged as damaged
    left join latest using (organization_id)
),

told as (
    select
        organization_id,
        list(reason order by path) filter (where is_new or not is_over) as failures,
        list(what order by path) filter (where is_over and not is_new) as losses,
    from judged
    group by organization_id
)

select
    organization_id,
    failures is not null as has_failed,
    concat_ws(
        ' ',
        'Landing: ' || array_to_string(failures[:5], '; ')
        || if(len(failures) > 5, format(' and {} more', len(failures) - 5), '')
        || '. Shown without it until it is read again.',
        'Lost from landing, and nowhere to be read again: ' || array_to_string(losses[:5], '; ')
        || if(len(losses) > 5, format(' and {} more', len(losses) - 5), '')
        || '.'
    ) as message,
from told
