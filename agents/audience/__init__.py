"""An audience over all shards: who matches a filter.

Imports `agents.scatter`. Begin with `audience`.
"""
