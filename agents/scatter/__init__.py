"""Asks shards, here or on other workers: one shard, or all shards of one generation, all or none.

A request to a shard is a query (`query.py`): `rows.py`, `audience_query.py`, `user_queries.py`,
`figures.py`, `sizes.py`. Each query defines how a shard of this worker answers it, and how query
and answer are sent between workers (`wire.py`); `answering.py` answers all of them, and
`agents/web/routes/internal.py` serves the answers. `client.py` asks one shard, over the signed
connections of `peers.py`. `gatherer.py` asks all shards, and repeats the attempt as `retry.py`
says. Failures are errors of `errors.py`.

`context.py` holds the objects of a worker that the handlers of all routes need.

Imports the rooms before it: the shards (`agents.supervision`), filters, users, views and requests.
It makes no problem documents: `agents/web/answer_problems.py` does. Begin with `client`, then
`gatherer`.
"""
