"""Decodes record batches to frames of events and users, with a reject for each record that is
neither.

Imports all other rooms of `schemas`. Begin with `ingest`, which makes everything that a step needs
from fetched batches; `decoder` chooses between `blocks` (whole batches) and `singles` (records).
"""
