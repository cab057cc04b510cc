"""Requests of operators as a worker has them: how it sends commands, and what it tells of them.

Imports `agents.views` and `agents.http` (whose keys prove who asks). Commands take the control
topic, as those of everybody else; what became of them comes from the coordinator's log. Begin with
`commands`.
"""
