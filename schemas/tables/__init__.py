"""Rows: what an interaction is, how rows are folded and counted, who the users are.

Imports `schemas.records`. Begin with `interaction`, then `fold`. No bytes of batches and no
segments here.
"""
