"""The reasons why a filter is not answered: data for programs, and a sentence for people."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from schemas.records.lifecycle import State

__all__ = ["Code", "FilterPath", "FilterRefusal", "OnExpired", "Refused"]


class OnExpired(StrEnum):
    """What to do with a leaf that needs hidden data."""

    REFUSE = "refuse"
    EXCLUDE = "exclude"


class Code(StrEnum):
    """The reason; of several reasons, the first in this order represents the refusal as a whole."""

    UNKNOWN_FILTER = "unknown_filter"
    UNKNOWN_SEGMENT = "unknown_segment"
    SEGMENT_CYCLE = "segment_cycle"
    UNREADABLE_SEGMENT = "unreadable_segment"
    TOO_LARGE = "too_large"
    UNKNOWN_SOURCE = "unknown_source"
    UNKNOWN_STEP = "unknown_step"
    UNKNOWN_VARIATION = "unknown_variation"
    UNKNOWN_TAG = "unknown_tag"
    LEGACY_DELETED = "legacy_deleted"
    SOURCE_HIDDEN = "source_hidden"

    @property
    def status(self) -> int:
        """The HTTP status: 410 deleted for good, 409 hidden, 400 an error in the query."""
        return {Code.LEGACY_DELETED: 410, Code.SOURCE_HIDDEN: 409}.get(self, 400)


_TOLD = 10

_RANK = {code: rank for rank, code in enumerate(Code)}


@dataclass(frozen=True, slots=True, order=True)
class FilterPath:
    """The position of a leaf: its path in the filter that was sent. For a leaf in a segment: the
    path of the outermost `in_segment`, the chain of segments, and the path in the last one.
    """

    path: str
    through: tuple[str, ...] = ()
    inner: str | None = None

    def __str__(self) -> str:
        if not self.through:
            return self.path
        return f"{self.path} ({' > '.join(self.through)}: {self.inner})"


@dataclass(frozen=True, slots=True)
class FilterRefusal:
    """One leaf that prevents the answer. `sources` maps each source that prevents it to its
    state; `unknown` is the source of the leaf, if nothing is known of it.
    """

    code: Code
    at: FilterPath
    filter: str
    detail: str
    sources: tuple[tuple[str, State], ...] = ()
    unknown: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """All reasons that prevent an answer; never empty."""

    refusals: tuple[FilterRefusal, ...]

    @property
    def code(self) -> Code:
        """The code for all reasons: the first of `Code` that occurs."""
        return min((refusal.code for refusal in self.refusals), key=_RANK.__getitem__)

    @property
    def status(self) -> int:
        """The HTTP status of `code`."""
        return self.code.status

    @property
    def sources(self) -> tuple[str, ...]:
        """Every source that prevents the answer, sorted."""
        return tuple(sorted({source for source, _ in self._standing()}))

    @property
    def restore(self) -> dict[str, list[str]] | None:
        """The body of the restore call that would make the answer possible: all hidden sources that
        are not being restored. None if a restore would not help: there are other reasons as well,
        or all hidden sources are being restored already.
        """
        if any(refusal.code is not Code.SOURCE_HIDDEN for refusal in self.refusals):
            return None
        wanted = {source for source, state in self._standing() if state is not State.RESTORING}
        return {"sources": sorted(wanted)} if wanted else None

    @property
    def detail(self) -> str:
        """One sentence for each leaf; if there are many, only for the first ones."""
        texts = [f"{one.filter} at {one.at}: {one.detail}" for one in self.refusals[:_TOLD]]
        if len(self.refusals) > _TOLD:
            texts.append(f"and {len(self.refusals) - _TOLD:,} more")
        return "; ".join(texts)

    def _standing(self) -> Iterable[tuple[str, State]]:
        return (item for refusal in self.refusals for item in refusal.sources)
