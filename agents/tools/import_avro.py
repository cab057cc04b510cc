"""Reads Avro container files block by block. Times of any unit become integer milliseconds."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import fastavro

from agents.tools.feed.blocks import BadContainer, Block, Container
from schemas.decode.check import LATEST
from schemas.errors import Fatal
from schemas.records import registry
from schemas.records.codec import Unencodable

__all__ = ["AvroFile", "container_damaged"]


class AvroFile:
    """An open container file. Raises Fatal, naming block and byte, if it is damaged.

    Records are read as stored, without logical types: otherwise one time outside of the calendar
    would end the reading of its whole block.
    """

    def __init__(self, file: Path, opened: BinaryIO) -> None:
        self._file = file
        self._block = 1
        try:
            self._container = Container(opened)
            self.schema = self._container.schema
            stored = registry.without(self.schema, {"logicalType"})
            self._stored = fastavro.parse_schema(stored)
            self._units = registry.time_units(self.schema) if isinstance(self.schema, dict) else {}
        # Whatever garbage makes fastavro raise, the fact is the same.
        except Exception as error:
            raise container_damaged(file, 1, 0, error) from error

    def blocks(self, start: int) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """(number of the block from 1, its records as they are stored), after `start` blocks."""
        self._block = start + 1
        try:
            for block in self._container.blocks(start):
                self._block = block.number
                yield block.number, self._records(block)
                self._block += 1
        except (BadContainer, _Unreadable) as error:
            at = self._container.position
            raise container_damaged(
                self._file, self._block, at, error.__cause__ or error
            ) from error

    def plain(self, kind: str, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record with its times in milliseconds. Raises Unencodable for an invalid time."""
        plain = dict(record)
        for name, unit in self._units.items():
            if isinstance(value := plain.get(name), int):
                plain[name] = value // unit
                if abs(plain[name]) > LATEST:
                    raise Unencodable(kind, f"{name}: {value} is a time outside of the calendar")
        return plain

    def _records(self, block: Block) -> list[dict[str, Any]]:
        content = io.BytesIO(block.data)
        # fastavro itself has no way to read a container without its logical types
        read: Any = fastavro.schemaless_reader
        try:
            return [read(content, self._stored, None) for _ in range(block.count)]
        except Exception as error:
            raise _Unreadable from error


class _Unreadable(Exception):
    """The records of a block cannot be read; the cause says why."""


def container_damaged(file: Path, block: int, byte: int, error: BaseException) -> Fatal:
    """The error of a container file that is damaged in this block, counted from 1."""
    kind = "" if isinstance(error, BadContainer) else f"{type(error).__name__} "
    return Fatal(
        f"{file}, block {block}, before byte {byte}: no complete Avro container file: "
        f"{kind}{error!s:.200}",
        remedy="Write it anew; what lies before the damage has been imported",
    )
