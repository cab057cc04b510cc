"""Record batches to frames of events and users, with a reject for each record that is none.

Imports all other rooms of `schemas`. Begin with `ingest`: everything that a step needs of fetched
batches; `decoder` chooses between `blocks` (whole batches) and `singles`.
"""
