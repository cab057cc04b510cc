"""The rules of the lifecycle: pure, `decide(state, inputs, now) -> (state', outputs)`.

Imports `agents.filters`. Begin with `decide`.
"""
