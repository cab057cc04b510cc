"""The inputs of the coordinator's rules."""

from dataclasses import dataclass

from schemas.records.lifecycle import Command, Definition, Report

__all__ = [
    "ArchiveFault",
    "CatalogSnapshot",
    "CommandRead",
    "CommandUnreadable",
    "DefinitionRead",
    "DefinitionUnreadable",
    "Input",
    "ReportRead",
    "StateForeign",
    "Tick",
]


@dataclass(frozen=True, slots=True)
class DefinitionRead:
    """A catalog record; a definition of None deletes. `again`: the record was processed before.
    `trace`: its producer's trace context (schemas/records/trace.py), here and in a command.
    """

    key: str
    definition: Definition | None
    again: bool = False
    trace: str = ""


@dataclass(frozen=True, slots=True)
class DefinitionUnreadable:
    """A catalog record that cannot be used. `key` is empty if the record has none.

    `words` are the names that it may contain. `active` null: its status is unknown too.
    """

    key: str
    detail: str
    words: tuple[str, ...] = ()
    active: bool | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class CatalogSnapshot:
    """The keys of the whole catalog, which has been read: a key that is missing was deleted."""

    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class CommandRead:
    """A command. `position` is `topic-partition-offset`, which serves as request id if it has
    none. Users that it erases are sealed; `fault` says why they could not be.
    """

    command: Command
    position: str
    fault: str = ""
    trace: str = ""


@dataclass(frozen=True, slots=True)
class CommandUnreadable:
    """A command that cannot be decoded, with its request id if that can be read.

    `named`: the id comes from the sender, and is not the record's position.
    """

    request_id: str
    detail: str
    by: str | None = None
    named: bool = True
    trace: str = ""


@dataclass(frozen=True, slots=True)
class ReportRead:
    """A shard's report."""

    report: Report


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. `skew_ms`: the broker's clock minus ours, null while unknown."""

    skew_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ArchiveFault:
    """How the archive's topic would lose what moves to it, and the remedy; empty: it would not."""

    what: str


@dataclass(frozen=True, slots=True)
class StateForeign:
    """Another producer has written a record of a source to `lifecycle.state`.

    `version` is the version in that record, -1 if it cannot be read or has no value.
    """

    source: str
    version: int


Input = (
    DefinitionRead
    | DefinitionUnreadable
    | CatalogSnapshot
    | CommandRead
    | CommandUnreadable
    | ReportRead
    | StateForeign
    | ArchiveFault
    | Tick
)
