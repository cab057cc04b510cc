"""How records of other programs become ours: which of their fields gives which of our fields.

Files of columns and topics use the same rules. Imports `schemas.tables`, `schemas.records` and
`schemas.words`. Begin with `rule`, what a mapping says; `convert` makes Polars expressions of it,
`spelling` reads it from TOML, `topics` has the mappings of topics, and `producer` and `fit` compare
them with a producer's schema.
"""
