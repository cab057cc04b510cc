"""An audience over all shards: the users who match a filter.

Imports `agents.scatter`, and the rooms before it for filters and views. Begin with `audience`.
"""
