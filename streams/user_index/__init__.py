"""A shard's rows by user: a local index beside the hot table, which may be deleted at any time.

Imports `streams.state`. Begin with `by_user`.
"""
