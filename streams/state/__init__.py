"""A shard's durable state: hot table, changelog, local state store, archive.

Imports `streams.kafka`. Begin with `store`: everything that a shard holds, changed by steps. This
room treats shards and sources as mere names and does not know the lifecycle.
"""
