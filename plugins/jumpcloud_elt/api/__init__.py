"""JumpCloud over HTTP: transport, retries, pages, and one function for each call. Knows nothing of landing."""
