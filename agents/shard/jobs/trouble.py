"""What keeps a shard from doing the work of a source, as it is reported."""

from dataclasses import dataclass
from typing import Protocol

from schemas.records.lifecycle import FailureCode

__all__ = ["Trouble", "WorkTrouble"]


class Trouble(Protocol):
    """What is wrong; its text is one line. `place` and `segment` may be empty."""

    @property
    def code(self) -> FailureCode:
        """What kind of trouble it is."""

    @property
    def place(self) -> str:
        """The record: `topic[partition]@offset`."""

    @property
    def segment(self) -> str:
        """The segment that the record is, or should be."""


@dataclass(frozen=True, slots=True)
class WorkTrouble:
    """Trouble that is not that of one record of the archive."""

    code: FailureCode
    place: str
    segment: str
    what: str

    def __str__(self) -> str:
        """One line: what is wrong, and where."""
        return self.what
