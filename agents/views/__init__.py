"""This worker's copies of `lifecycle.state` and of the definitions.

Imports `agents.coordinator` and its rules, because the coordinator's log holds the definitions.
Begin with `state_view`.
"""
