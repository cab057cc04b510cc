"""A chunk of events of one type: as columns for the oracle, as bytes for the broker."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.tools.encoder import encoder
from agents.tools.publish import Partitioner

__all__ = ["EventChunk", "avro_chunk"]


@dataclass(frozen=True, slots=True)
class EventChunk:
    """Events of one type, in the order in which they are published.

    `columns` has the fields of valid events that were set. It is empty for malformed events, whose
    `rejected` is the code that they must be rejected with.
    """

    event: str
    columns: Mapping[str, Sequence[Any]]
    keys: list[bytes]
    values: list[bytes]
    users: list[str]
    partitioner: Partitioner = "murmur2"
    rejected: str | None = None

    @property
    def topic(self) -> str:
        """Name of the topic without the prefix."""
        return f"interactions.{self.event}"

    def records(self) -> Iterator[dict[str, Any]]:
        """The valid events as plain dictionaries."""
        names = tuple(self.columns)
        for row in zip(*self.columns.values(), strict=True):
            yield dict(zip(names, row, strict=True))


def avro_chunk(
    event: str, columns: Mapping[str, Sequence[Any]], partitioner: Partitioner = "murmur2"
) -> EventChunk:
    """A chunk of Avro events, keyed by user."""
    users = list(columns["user_id"])
    keys = [user.encode() for user in users]
    return EventChunk(event, columns, keys, encoder(event).encode(columns), users, partitioner)
