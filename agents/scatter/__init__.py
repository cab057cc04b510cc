"""Asking shards, wherever they run: one shard's part, all shards of one generation, or none.

Imports `agents.shard` and `agents.supervision`. Begin with `gatherer`.
"""
