"""Membership in the group of workers: Kafka's group protocol decides which worker holds which
shard.

Imports `streams.kafka`. Begin with `membership`; `assignor` and `shard_plan` decide, `transport`
connects Faust.
"""
