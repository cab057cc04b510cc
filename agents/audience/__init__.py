"""An audience over all shards: the users who match a filter.

Imports `agents.scatter`. Begin with `audience`.
"""
