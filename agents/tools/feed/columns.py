"""Reads the records of Avro blocks column by column, with Polars; what it cannot read, one by one.

Every block is read with one more record behind its own, whose bytes are all zero. If that record is
read as zeros, each record before it ended where it should.
"""

import io
from collections.abc import Collection, Sequence
from typing import Any

import fastavro
import polars as pl

from agents.tools.feed.blocks import BadContainer, Block
from schemas.decode.plan import SYNC, UNREADABLE, container_header
from schemas.mapping.frames import frame_of
from schemas.records import registry
from schemas.records.varint import varint

__all__ = ["BlockReader"]

_ZEROS = {"null": b"", "float": bytes(4), "double": bytes(8)}
_POLARS = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})


class BlockReader:
    """Reads blocks of one schema: those of its fields that are in `columns`.

    `frame` has a row for each record. Raises BadContainer, naming the block, if records cannot be
    read; ValueError if the schema is no record.
    """

    def __init__(self, schema: Any, columns: Collection[str]) -> None:
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise ValueError("no schema of a record")
        stored = registry.without(schema, {"logicalType", "default", "aliases", "doc"})
        fields = stored["fields"]
        self._columns = [one["name"] for one in fields if one["name"] in columns]
        self._parsed = fastavro.parse_schema(stored)
        self._zeros = b""
        self._header = b""
        if self._columns and all(_readable(one["type"]) for one in fields):
            self._zeros = b"".join(_zero(one["type"]) for one in fields)
            self._header = container_header(fields)

    def frame(self, blocks: Sequence[Block]) -> pl.DataFrame:
        """The records of these blocks, in their order."""
        if self._header:
            try:
                return self._whole(blocks)
            except UNREADABLE:
                pass  # the slower way says which block it is, and reads what Polars does not
        return frame_of([one for block in blocks for one in self._one_by_one(block)], self._columns)

    def _whole(self, blocks: Sequence[Block]) -> pl.DataFrame:
        parts = [self._header]
        for block in blocks:
            data = (block.data, self._zeros)
            size = len(block.data) + len(self._zeros)
            parts += [varint(block.count + 1), varint(size), *data, SYNC]
        read = pl.read_avro(io.BytesIO(b"".join(parts)), columns=self._columns)
        ends, at = [], -1
        for block in blocks:
            at += block.count + 1
            ends.append(at)
        if read.height != at + 1:
            raise ValueError("other records than the blocks say")
        if not all(_empty(value) for row in read[ends].iter_rows() for value in row):
            raise ValueError("a record does not end where it should")
        return pl.concat(
            [
                read.slice(end - block.count, block.count)
                for end, block in zip(ends, blocks, strict=True)
            ]
        )

    def _one_by_one(self, block: Block) -> list[Any]:
        content = io.BytesIO(block.data)
        # fastavro itself has no way to read a block without its logical types
        read: Any = fastavro.schemaless_reader
        try:
            found = [read(content, self._parsed, None) for _ in range(block.count)]
        # whatever garbage makes fastavro raise, the fact is the same
        except Exception as error:
            why = f"block {block.number}: {type(error).__name__} {error!s:.200}"
            raise BadContainer(why) from error
        if content.tell() != len(block.data):
            raise BadContainer(f"block {block.number}: its records end before its end")
        return found


def _readable(kind: Any) -> bool:
    """Whether Polars reads this type: primitives, arrays of them, and null with one of either."""
    if isinstance(kind, list):
        others = [branch for branch in kind if branch != "null"]
        return len(kind) == 2 and len(others) == 1 and _readable(others[0])
    if isinstance(kind, dict):
        if kind.get("type") == "array":
            return isinstance(kind["items"], str) and kind["items"] in _POLARS
        return set(kind) == {"type"} and _readable(kind["type"])
    return kind in _POLARS


def _zero(kind: Any) -> bytes:
    if isinstance(kind, list):
        return b"\x00" + _zero(kind[0])
    if isinstance(kind, dict):
        return b"\x00" if kind["type"] == "array" else _zero(kind["type"])
    return _ZEROS.get(kind, b"\x00")


def _empty(value: Any) -> bool:
    return value is None or value in ("", 0, False, b"", 0.0)
