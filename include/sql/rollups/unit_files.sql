-- grain:  one row per unit of this batch
-- inputs: landing/directory_insights_events: what the files say of themselves, without their rows
-- why:    what a unit holds it says itself: a run may have landed it anew and not come to record it

with

files as (
    select file_name, num_rows
    from parquet_file_metadata(getvariable('units_files'))
),

told as (
    select file_name, decode(value)::json as landed
    from parquet_kv_metadata(getvariable('units_files'))
    where decode(key) = 'jumpcloud_elt'
)

select
    files.file_name[getvariable('landing_length') + 2:] as path,
    (told.landed ->> '$.received')::bigint as received,
    (told.landed ->> '$.inside')::bigint as inside,
    files.num_rows as rows,
    (told.landed ->> '$.rows')::bigint as landed_rows,
    (told.landed ->> '$.extracted_at')::timestamp as extracted_at,
    (told.landed -> '$.services')::varchar[] as services,
    (told.landed ->> '$.began_before_retention')::boolean as began_before_retention,
    told.landed ->> '$.outcome' as outcome,
from files
left join told using (file_name)
