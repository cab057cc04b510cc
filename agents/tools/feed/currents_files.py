"""Reads Currents exports: Avro container files of one event type each."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agents.tools.feed.apply import Mapper
from agents.tools.feed.blocks import MAGIC, BadContainer, Block, Container
from agents.tools.feed.columns import BlockReader
from agents.tools.feed.currents import FAMILY, TYPES, known_type
from agents.tools.feed.opening import FileContent, guarded
from agents.tools.feed.packing import chunk_of, sources_of
from agents.tools.import_avro import container_damaged
from agents.tools.import_files import Bad, Batch, TypeCount
from agents.tools.import_journal import ImportPosition
from agents.tools.records import Ids
from schemas.errors import UsageError
from schemas.mapping.rule import Rule
from streams.clock import Clock

__all__ = ["CurrentsFiles", "type_of_file"]

BATCH_BYTES = 4_000_000
UNKNOWN = "this version of emberline does not know the type"
_FOLDER = re.compile(r"event_type=([\w.]+)")


class CurrentsFiles:
    """Reads files of a Currents export; each has events of one type.

    `ids` gives the schema ids of the records, `most` is the longest text that workers accept.
    """

    label = "braze-currents"
    suffixes = (".avro",)

    def __init__(self, ids: Ids, most: int, clock: Clock) -> None:
        self._ids = ids
        self._clock = clock
        self._mappers = {
            name: Mapper(rule, most) for name, rule in TYPES.items() if isinstance(rule, Rule)
        }

    def batches(self, content: FileContent, start: ImportPosition) -> Iterator[Batch]:
        """The rest of a file from `start` on.

        Raises UsageError for what is no Avro container file or does not name its type, Fatal if the
        file is damaged.
        """
        return guarded(content.file, self._batches(content, start))

    def _batches(self, content: FileContent, start: ImportPosition) -> Iterator[Batch]:
        if not content.first.startswith(MAGIC):
            raise UsageError(
                f"{content.file} is no Avro container file", remedy="Currents exports are"
            )
        block = 0
        position = 0
        try:
            container = Container(content.content)
            name = type_of_file(content.file, container.schema)
            mapper = self._mappers.get(name)
            found = self._skipped if mapper is None else self._mapped
            for batch in found(content, container, name, start):
                yield batch
                block = batch.reached.position
                position = container.position
        except (BadContainer, ValueError) as error:
            raise container_damaged(content.file, block + 1, position, error) from error

    def _skipped(
        self, content: FileContent, container: Container, name: str, start: ImportPosition
    ) -> Iterator[Batch]:
        """Only counts."""
        blocks = list(container.blocks(start.position, data=False))
        count = sum(block.count for block in blocks)
        blank = start.blank + count
        reached = ImportPosition(start.position + len(blocks), start.records, start.bad, blank)
        why = TYPES.get(name, UNKNOWN)
        tally = TypeCount(skipped={str(why): count})
        yield Batch(reached, content.read(), tallies={name: tally})

    def _mapped(
        self, content: FileContent, container: Container, name: str, start: ImportPosition
    ) -> Iterator[Batch]:
        mapper = self._mappers[name]
        reader = BlockReader(container.schema, mapper.columns)
        reached = start
        for blocks in _together(container.blocks(start.position)):
            mapped = mapper.apply(reader.frame(blocks), self._clock.now_ms())
            first = reached.records + reached.blank + 1
            bad = [Bad(f"{content.file}:{first + row}", why) for row, why in mapped.faults]
            chunk = chunk_of(mapper.rule.kind, mapped.rows, self._ids)
            skipped = sum(mapped.skipped.values())
            reached = ImportPosition(
                blocks[-1].number,
                reached.records + sum(block.count for block in blocks) - skipped,
                reached.bad + len(bad),
                reached.blank + skipped,
            )
            tally = TypeCount(chunk.topic, len(chunk.keys), len(bad), mapped.skipped)
            sources = sources_of(mapped.rows)
            yield Batch(reached, content.read(), [chunk], bad, sources, {name: tally})


def type_of_file(file: Path, schema: Any) -> str:
    """The event type of a file: its schema names it, or else the folder `event_type=`, or the name
    of the file. Raises UsageError if none does.
    """
    own = ""
    if isinstance(schema, dict):
        namespace = schema.get("namespace")
        own = ".".join(filter(None, (namespace, str(schema.get("name")))))
    folders = [match[1] for part in file.parts if (match := _FOLDER.fullmatch(part))]
    for text in (own, *folders, file.name.partition(".avro")[0]):
        if (found := known_type(text)) is not None:
            return found
    for text in (own, *folders):
        if (at := f".{text}".find(f".{FAMILY}")) >= 0:
            return text[at:]
    raise UsageError(
        f"{file} does not say which Currents event it has",
        remedy="Keep the folders of the export, or the schema that Braze wrote",
    )


def _together(blocks: Iterator[Block]) -> Iterator[list[Block]]:
    """Several blocks of about BATCH_BYTES together."""
    some: list[Block] = []
    size = 0
    for block in blocks:
        some.append(block)
        size += len(block.data)
        if size >= BATCH_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some
