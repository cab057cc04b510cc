"""Reads what other programs have written: Currents exports, CSV, compressed files, and topics.

A mapping (`mapping.Rule`) says which column gives which field; `apply` applies it to a frame.
Begin with `currents`, the table of Braze's event types.
"""
