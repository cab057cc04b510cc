"""The resources that the shards of one worker share: memory, threads, and priorities.

Imports no other room of `agents`. Begin with `budget`.
"""
