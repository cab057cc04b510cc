"""What the shards of one worker share: memory, threads, and who goes first.

Imports no other room of `agents`. Begin with `budget`.
"""
