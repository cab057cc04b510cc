"""Fields of JSON records whose names are similar to one of ours.

Unknown fields are ignored, because programs may send more than is read here. But a field that is
similar to one of ours, in a record without the correct one, is a mistake. In a command or a
definition it would silently change the decision, so the record is refused. In events and users the
mistake is counted, for `/status` and for the end of an import.
"""

import logging
import re
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from schemas.records.undecodable import Undecodable
from schemas.words.nearest import nearest

__all__ = ["MISSPELT", "Misspelling", "MisspellingCounts", "look"]

_LIKENESS = 0.85
_STRICT = frozenset({"command", "definition"})
_LOOKED_AT = 64
"""Unknown fields of one record that are compared with ours."""
_NAMES = 1_000
"""Different unknown names that a tally compares and remembers: each comparison costs 0.1 ms."""

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Misspelling:
    """`count` records of the type `record` had the field `written`, where `meant` is correct."""

    record: str
    written: str
    meant: str
    count: int


class MisspellingCounts:
    """Counts misspellings. May be used by several threads; its size is limited."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._meant: dict[tuple[str, str], str | None] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def note(
        self,
        record: str,
        written: str,
        known: Collection[str],
        *,
        present: Collection[str] = (),
        likeness: float = _LIKENESS,
    ) -> None:
        """Count `written`, which is not in `known`, if it is similar to a known name that is not
        `present`.
        """
        field = (record, written[:80])
        with self._lock:
            if field not in self._meant:
                if len(self._meant) >= _NAMES:
                    return
                self._meant[field] = like(written, known, likeness)
            meant = self._meant[field]
            if meant is None or meant in present:
                return
            first = field not in self._counts
            self._counts[field] = self._counts.get(field, 0) + 1
        if first:
            _log.warning("%s has %r, which is not read: is %s meant?", record, field[1], meant)

    def found(self) -> list[Misspelling]:
        """All counted misspellings, the most frequent first."""
        with self._lock:
            counted = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
            return [
                Misspelling(record, written, self._meant[record, written] or "", count)
                for (record, written), count in counted
            ]


MISSPELT = MisspellingCounts()
"""That of this process."""


def like(written: str, known: Collection[str], likeness: float = _LIKENESS) -> str | None:
    """The name of `known` that was meant: `campaignId`, `chanel`, or `campaign` for campaign_id;
    also `external_id` for external_user_id, which contains all its words, at least two.
    """
    plain = _plain(written)
    for name in known:
        if _plain(name) == plain or name.startswith(f"{written.casefold()}_"):
            return name
    words = {word.casefold() for word in _WORD.findall(written[:80])}
    for name in known:
        if len(words) > 1 and words < set(name.split("_")):
            return name
    return nearest(written, known, cutoff=likeness)


def look(record: str, value: Mapping[str, object], known: Collection[str]) -> None:
    """Check the unknown fields of a JSON record. Raises Undecodable for a misspelt field of a
    command or a definition.
    """
    strange = [name for name in value if name not in known and value[name] is not None]
    if not strange:
        return
    present = [name for name in known if value.get(name) is not None]
    for name in strange[:_LOOKED_AT]:
        if record not in _STRICT:
            MISSPELT.note(record, name, known, present=present)
        elif (meant := like(name, known)) is not None and meant not in present:
            detail = f"{name[:80]}: there is no such field, did you mean {meant}?"
            raise Undecodable("bad_json", detail)


def _plain(name: str) -> str:
    return name[:80].casefold().replace("_", "").replace("-", "")
