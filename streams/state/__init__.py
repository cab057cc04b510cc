"""A shard's durable state: hot table, changelog, local state store, archive.

Imports `streams.kafka`. Begin with `store`: everything a shard holds, changed by steps. Knows
shards and sources as names alone, no lifecycle.
"""
