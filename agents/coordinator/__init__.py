"""The coordinator: the one actor that decides every source's lifecycle, such as when a source
expires.

`rules` are pure and decide; `coordinator` reads, decides and commits; `log` is its durable state;
`records` turns records into inputs. Imports `agents.filters`. Begin with `rules.decide`;
`rules.retention_sweep` decides that a source expires.
"""
