"""How data flows and is kept. Knows no campaign; imports `schemas` alone.

Rooms, each importing only those before it: `kafka` (the only one that talks to brokers), `group`
(who holds which shard), `state` (a shard's durable state), `user_index` (its rows by user).
`devbroker` stands beside them. Settings, clock and periods are above all. Begin with `settings`.
"""
