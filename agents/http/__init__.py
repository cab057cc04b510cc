"""The parts that every HTTP interface needs: problems, keys, signatures, limits. It has no routes:
a new HTTP call goes into a module of `agents/web/routes`.

Does not know shards or sources. Begin with `route` and `problems`.
"""
