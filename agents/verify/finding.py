"""A fault that was found: its kind, where it is, what is wrong, and the remedy."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from agents.verify.kinds import REMEDIES, FindingKind

__all__ = ["Finding", "Where", "found"]


@dataclass(frozen=True, slots=True)
class Where:
    """The record that a finding is about; the parts that it has.

    `key` is a key of the changelog or the name of a setting of the topic.
    """

    topic: str = ""
    partition: int | None = None
    offset: int | None = None
    source: str | None = None
    segment: str | None = None
    key: str | None = None

    def __str__(self) -> str:
        """As people read it: `archive[3]@1204, source campaign:a, segment 0199...`."""
        at = self.topic
        if self.partition is not None:
            at += f"[{self.partition}]"
        if self.offset is not None:
            at += f"@{self.offset}"
        named = (("key", self.key), ("source", self.source), ("segment", self.segment))
        more = [f"{name} {value}" for name, value in named if value is not None]
        return ", ".join([at, *more] if at else more)


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault."""

    kind: FindingKind
    where: Where
    what: str
    remedy: str

    def to_json(self) -> Mapping[str, Any]:
        """For programs: parts of `where` that do not apply are left out."""
        where = {name: value for name, value in asdict(self.where).items() if value is not None}
        return {
            "kind": self.kind.value,
            "where": where,
            "what": self.what,
            "remedy": self.remedy,
        }


def found(kind: FindingKind, where: Where, what: str, remedy: str = "") -> Finding:
    """A finding with the remedy of its kind, unless another is given."""
    return Finding(kind, where, what, remedy or REMEDIES[kind])
