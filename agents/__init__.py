"""Who acts. Imports `streams` and `schemas`.

Rooms, each importing only those before it: `filters`, `coordinator.rules`, `coordinator`,
`views`, `users`, `resources`, `shard`, `supervision`, `http`, `scatter`, `audience`, `web`,
`worker`, `terminal`, `tools`, `cli`. tests/test_layout.py holds the order.
"""
