"""Landing to DuckDB: build, roll-ups, check, publish. Asks JumpCloud nothing."""
