"""Segments: immutable blocks of interactions, sorted by source and user, kept as bytes.

Imports `schemas.tables`. Begin with `codec`.
"""
