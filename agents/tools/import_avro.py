"""Reads Avro container files block by block. Times of any unit become integer milliseconds."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import fastavro

from schemas.decode.check import LATEST
from schemas.errors import Fatal
from schemas.records import foreign, registry
from schemas.records.codec import Unencodable
from schemas.records.foreign import BadSchema

__all__ = ["AvroFile"]


class AvroFile:
    """An open container file. Raises Fatal, naming block and byte, if it is damaged.

    Records are read as stored, without logical types: otherwise one time outside of the calendar
    would end the reading of its whole block.
    """

    def __init__(self, file: Path, opened: BinaryIO) -> None:
        self._file = file
        self._opened = opened
        self._block = 1
        # Whatever garbage makes fastavro and the decompressors raise, the fact is the same.
        try:
            self._reader = fastavro.block_reader(opened)
            self.schema: Any = json.loads(self._reader.metadata["avro.schema"])
            foreign.check(self.schema)
            stored = registry.without(self.schema, {"logicalType"})
            self._stored = fastavro.parse_schema(stored)
            self._units = registry.time_units(self.schema) if isinstance(self.schema, dict) else {}
        except Exception as error:
            raise self._damaged(error) from error

    def blocks(self, start: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """(number of the block from 1, its records as they are stored), after `start` blocks."""
        while (records := self._next(self._block <= start)) is not None:
            self._block += 1
            if self._block - 1 > start:
                yield self._block - 1, records

    def plain(self, kind: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record with its times in milliseconds. Raises Unencodable for an invalid time."""
        plain = dict(record)
        for name, unit in self._units.items():
            if isinstance(value := plain.get(name), int):
                plain[name] = value // unit
                if abs(plain[name]) > LATEST:
                    raise Unencodable(kind, f"{name}: {value} is a time outside of the calendar")
        return plain

    def _next(self, skip: bool) -> list[dict[str, Any]] | None:
        try:
            block = next(self._reader, None)
            if block is None:
                return None
            if skip:
                return []
            content: BinaryIO = block.bytes_  # type: ignore[attr-defined]
            # fastavro itself has no way to read a container without its logical types
            read: Any = fastavro.schemaless_reader
            records = []
            for _ in range(block.num_records):
                at = content.tell()
                records.append(read(content, self._stored, None))
                if content.tell() == at:
                    # a block can claim any number of them
                    raise BadSchema("records that take no bytes")
            return records
        except Exception as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> Fatal:
        where = f"{self._file}, block {self._block}, before byte {self._opened.tell()}"
        return Fatal(
            f"{where}: no complete Avro container file: {type(error).__name__} {error!s:.200}",
            remedy="Write it anew; what lies before the damage has been imported",
        )
