"""The peers: the same job in the usual way of other libraries, each in a separate process.

Every peer takes the same arguments (`job.arguments`), reports its progress through a `Progress`
file, and leaves its final state in its changelog topics, where `state.py` reads it to compare it
with the oracle's.
"""
