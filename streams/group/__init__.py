"""Membership in the group of workers: who holds which shard, by Kafka's group protocol.

Imports `streams.kafka`. Begin with `membership`; `assignor` and `shard_plan` decide, `transport`
ties Faust to it.
"""
