"""A shard's background work: one piece at a time, each a bounded step."""
