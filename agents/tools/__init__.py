"""Tools for producers, operators and developers: sending, importing, skipping, the oracle, the demo
and the benchmarks.

Imports the rooms before it. Begin with `records` (the Kafka records made from a file), `demo.show`,
or `bench`.
"""
