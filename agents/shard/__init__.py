"""A shard's life: takeover, ingest, background jobs, and the answers of one shard.

`shard` is the actor; `ingest`, `intake`, `ingest_step` are the stages of ingest (`schemas.decode`
does the decoding); `jobs` is the background work, in bounded steps; `read`, `user_read`,
`audience`, `users`, `analytics` answer. Imports the rooms before it. Begin with `shard`.
"""
