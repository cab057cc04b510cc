"""What happens to the coordinator."""

from dataclasses import dataclass

from schemas.records.lifecycle import Command, Definition, Report

__all__ = [
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
    """A catalog record; a definition of None deletes. `again`: it was taken in before."""

    key: str
    definition: Definition | None
    again: bool = False


@dataclass(frozen=True, slots=True)
class DefinitionUnreadable:
    """A catalog record that cannot be used. `key` is empty where the record has none.

    `words` are what it may name. `active` null: its status is unknown too.
    """

    key: str
    detail: str
    words: tuple[str, ...] = ()
    active: bool | None = None


@dataclass(frozen=True, slots=True)
class CatalogSnapshot:
    """The whole catalog has been read, and these are its keys: what is missing was deleted."""

    keys: frozenset[str]


@dataclass(frozen=True, slots=True)
class CommandRead:
    """A command. `position` is `topic-partition-offset`: its request id where it has none."""

    command: Command
    position: str


@dataclass(frozen=True, slots=True)
class CommandUnreadable:
    """A command that cannot be decoded, with the request id as far as it can be known.

    `named`: the id is that of who asks, and not only the record's place.
    """

    request_id: str
    detail: str
    by: str | None = None
    named: bool = True


@dataclass(frozen=True, slots=True)
class ReportRead:
    """A shard's report."""

    report: Report


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed. `skew_ms`: the broker's clock less ours, null while unknown."""

    skew_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StateForeign:
    """Somebody else has written a record of a source to `lifecycle.state`.

    `version` is the one that it claims, -1 where it cannot be read or has no value.
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
    | Tick
)
