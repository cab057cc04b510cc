"""Rows: interactions, their fold, counts, and users.

Imports `schemas.records`. Begin with `interaction`, then `fold`. This room knows neither batches
nor segments.
"""
