"""JumpCloud to landing: directory snapshots and Directory Insights events."""
