"""The peers: the same job written the stock way, each a process of its own.

Every peer takes the same arguments (`job.arguments`), tells its progress through a
`Progress` file, and leaves its final state in its changelog topics, where `state.py` reads
it to compare it with the oracle's.
"""
