"""What people read on a terminal: tables, lines, text of others made safe.

Imports no other room of `agents`. Begin with `say`.
"""
