"""Data flow and storage. Does not know campaigns; imports `schemas` only.

Rooms, each importing only rooms before it: `kafka` (the only room that talks to brokers), `group`
(which worker holds which shard), `state` (a shard's durable state), `user_index` (a shard's rows by
user). `devbroker` is independent of them. All rooms may import settings, clock and periods. Begin
with `settings`.
"""
