"""The data: records, rows, segments. Pure: no I/O, no clock.

Rooms, each importing only rooms before it: `words` (text for people), `records` (single records and
their schemas), `tables` (rows), `segment` (blocks of rows), `decode` (record batches to rows). All
rooms may import `errors`. Begin with `schemas.tables.interaction`.
"""
