"""Names for sources that people type: key, id, name, or the beginning of one of them. Pure.

Imports `schemas` only. Begin with `resolve`.
"""
