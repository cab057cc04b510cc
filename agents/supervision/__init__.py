"""Which actors run in this worker: started, restarted after an error, let go.

Imports `agents.shard.protocol`: it knows what an actor can do, not how it is made. Begin with
`shard_manager`.
"""
