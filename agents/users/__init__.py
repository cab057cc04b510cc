"""What is told of one user: who they are, what they received, what they did, what is hidden.

Imports `agents.views`. Begin with `profile`.
"""
