"""The answer about one user: identity, interactions, signals, and hidden data.

Imports `agents.views`. Begin with `profile`.
"""
