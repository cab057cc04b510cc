"""What serves producers, operators and developers beside a worker: sending, importing, skipping,
the oracle, the demo and the benchmarks.

Imports the rooms before it. Begin with `records` (what a file's records become), `demo.show`, or
`bench`.
"""
