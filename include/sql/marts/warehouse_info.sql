-- grain:  one row
-- inputs: variables that the build sets
-- why:    says which build, of which package, a file is

select
    getvariable('schema_version')::integer as schema_version,
    getvariable('package_version')::varchar as package_version,
    getvariable('built_at')::timestamp as built_at,
    getvariable('run_id')::varchar as run_id,
