"""Requests of operators over HTTP: how a worker sends commands, and what it answers about them.

Imports `agents.views`, `agents.coordinator` and `agents.http` (whose keys prove the sender).
Commands go to the topic `control`, like all commands; their results come from the coordinator's
log. Begin with `commands`.
"""
