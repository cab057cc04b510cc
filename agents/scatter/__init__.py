"""Asking shards, wherever they run: one shard's answer, all shards of one generation, or none.

What a shard can be asked is a query (`query.py`): `rows.py`, `audience_query.py`,
`user_queries.py`, `figures.py`, `sizes.py`. Each says how it is answered in this worker, and how
it travels to another and its answer back (`wire.py`); `agents/web/routes/internal.py` serves all of
them. `client.py` asks one shard, over the signed connections of `peers.py`. `gatherer.py` asks all
of them, and tries again as `retry.py` says. What cannot be had is an error of `errors.py`.

Imports `agents.supervision` and, for what travels, `agents.filters` and `agents.http`, but no
problem documents: `agents/web/answer_problems.py` makes them. Begin with `client`, then `gatherer`.
"""
