"""The coordinator: the one actor that decides every source's lifecycle.

`rules` are pure and decide; `coordinator` reads, decides and commits; `log` is its durable state;
`records` makes inputs of records. Imports `agents.filters`. Begin with `rules.decide`.
"""
