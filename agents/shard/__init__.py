"""A shard's life: takeover, ingest, background jobs, and the answers of one shard.

`shard` is the actor; `ingest`, `intake`, `ingest_step` are the stages of ingest; `jobs` is the
background work, one bounded step at a time; `read`, `user_read`, `audience`, `users`,
`analytics` answer. Imports the rooms before it. Begin with `shard`.
"""
