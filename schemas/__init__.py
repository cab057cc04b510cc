"""What the data is: records, rows, segments. Pure: no I/O, no clock.

Rooms, each importing only those before it: `words` (text for people), `records` (single records
and their schemas), `tables` (rows), `segment` (blocks of rows), `decode` (record batches to rows).
`errors` is above all of them. Begin with `schemas.tables.interaction`.
"""
