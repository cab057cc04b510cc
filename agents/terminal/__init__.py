"""Output for people on a terminal: tables, lines, foreign text made safe.

Imports no other room of `agents`. Begin with `say`.
"""
