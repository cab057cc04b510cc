"""Single records: Avro and JSON codecs, schemas and their ids, the lifecycle's records, times.

Imports `schemas.words`. Begin with `codec`: one record to bytes and back.
"""
