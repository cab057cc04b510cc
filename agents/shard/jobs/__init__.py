"""A shard's background work: one job at a time, in bounded steps."""
