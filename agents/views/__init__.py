"""This worker's copies of `lifecycle.state` and of the definitions.

Imports `agents.coordinator` (whose log holds the definitions). Begin with `state_view`.
"""
