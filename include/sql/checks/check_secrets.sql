-- grain:  one row per column whose name looks like a secret's
-- inputs: information_schema
-- why:    secrets are cut out before landing; a column that bears such a name says that something went wrong

select null as organization_id, table_schema, table_name, column_name
from information_schema.columns
where
    table_catalog = current_database()
    and regexp_matches(
        lower(replace(column_name, '_', '')),
        'password|secret|token|apikey|privatekey|publickey|sshkey|certificate|config'
    )
    -- The outcome of an SSO event, as JumpCloud names it.
    and column_name <> 'sso_token_success'
