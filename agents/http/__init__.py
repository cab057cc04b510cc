"""What every HTTP interface needs, whatever it answers: problems, keys, signatures, limits.

Knows no shard and no source. Begin with `route` and `problems`.
"""
