"""Who acts. Imports `streams` and `schemas`.

Rooms, each importing only those before it: `terminal`, `resources`, `filters`,
`coordinator.rules`, `coordinator`, `views`, `users`, `shard`, `supervision`, `http`, `scatter`,
`audience`, `web`, `worker`, `tools`, `cli`. tests/test_layout.py holds the order. Begin with
`agents.worker.process`, or with the walks of docs/architecture.md.
"""
