"""The worker process: checks before the start, the Faust app, an orderly end, an exit code.

Imports all rooms before it and puts them together. Begin with `process`.
"""
