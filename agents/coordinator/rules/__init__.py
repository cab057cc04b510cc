"""The rules of the lifecycle: pure, `decide(state, inputs, now) -> (state', outputs)`.

`retention_sweep` decides that a source expires, `retention` when; `quarantine` and
`agents.filters.references` say what keeps it hot. Imports `agents.filters`. Begin with `decide`.
"""
