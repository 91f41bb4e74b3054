"""Forgetting one person: who they are in landing, pseudonyms, erasure."""
