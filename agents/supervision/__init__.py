"""Which actors run in this worker: starts them, restarts them after an error, stops them.

Imports `agents.shard.protocol`: it knows the interface of an actor, not its construction. Begin
with `shard_manager`.
"""
