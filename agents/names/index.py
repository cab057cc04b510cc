"""All sources by key, by id and name in the form of agents/names/form.py, and by their beginnings.

An entry is the form, what it is the form of (`i`: id, `n`: name) and the key. No form has the
separator in it, because form.py takes controls out. Entries are made when somebody looks for a
name: at a busy start a worker reads thousands of sources, and nobody asks. Entries of former names
stay in the lists until they are as many as the others; each entry that is found is compared with
the present name.
"""

from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from itertools import chain

from agents.names.form import form
from agents.names.sorted_texts import SortedTexts
from schemas.records.lifecycle import SOURCE_KINDS, SourceState, kind_of

__all__ = ["NameIndex"]

_SEPARATOR = "\x1f"
_AROUND = 24
_LEAST_LIKE = 0.6
_MOST_STALE = 1_000


class NameIndex:
    """The present record of every source. A lookup costs less than a millisecond, whatever the
    number of sources; the first one after sources are new also makes their entries, which takes
    0.3 s for 100,000.
    """

    def __init__(self, records: Iterable[SourceState] = ()) -> None:
        self._records: dict[str, SourceState] = {}
        #: Sources whose name has no entry yet, and whether their id has none either.
        self._awaited: dict[str, bool] = {}
        self._clear()
        for record in records:
            self.put(record)

    def get(self, key: str) -> SourceState | None:
        """The record of a source by its key."""
        return self._records.get(key)

    def put(self, record: SourceState) -> None:
        """Add the record of a source, or replace it."""
        key = record.source
        former = self._records.get(key)
        self._records[key] = record
        if former is None or former.name != record.name:
            self._awaited[key] = former is None or self._awaited.get(key, False)

    def drop(self, key: str) -> None:
        """Forget a source."""
        self._records.pop(key, None)

    def named(self, text: str, kinds: Iterable[str], most: int) -> list[SourceState]:
        """The sources of these kinds whose name has this form, at most `most` of them."""
        return [one for one, _ in self._beginning(f"{text}{_SEPARATOR}n", kinds, most)]

    def begun(self, text: str, kinds: Iterable[str], most: int) -> list[tuple[SourceState, str]]:
        """The sources of these kinds whose id or name begins with this form, with that id or name;
        at most `most` of them.
        """
        return self._beginning(text, kinds, most)

    def nearest(self, text: str, most: int) -> list[SourceState]:
        """The sources whose id or name is most similar to a form, the most similar first.

        Only those are compared that stand next to it in the order of the forms, or in the order of
        the reversed forms: one wrong letter leaves what is before it, or what is behind it, right.
        """
        self._make_entries()
        near = [entry for each in self._forwards.values() for entry in each.around(text, _AROUND)]
        near += [_turned(entry) for entry in self._backwards.around(text[::-1], _AROUND)]
        matcher = SequenceMatcher(autojunk=False)
        matcher.set_seq2(text)
        likeness: dict[str, float] = {}
        for name, _, key in self._live(dict.fromkeys(near)):
            matcher.set_seq1(name)
            if len(text) > 2 and text in name:
                ratio = 0.9
            elif matcher.real_quick_ratio() < _LEAST_LIKE or matcher.quick_ratio() < _LEAST_LIKE:
                continue
            else:
                ratio = matcher.ratio()
            likeness[key] = max(ratio, likeness.get(key, 0.0))
        likely = [key for key, ratio in likeness.items() if ratio >= _LEAST_LIKE]
        likely.sort(key=lambda key: (-likeness[key], key))
        return [self._records[key] for key in likely[:most]]

    def _beginning(
        self, start: str, kinds: Iterable[str], most: int
    ) -> list[tuple[SourceState, str]]:
        self._make_entries()
        found: dict[str, str] = {}
        entries = chain.from_iterable(self._forwards[kind].beginning(start) for kind in kinds)
        for _, what, key in self._live(entries):
            found.setdefault(key, _id(key) if what == "i" else self._records[key].name)
            if len(found) == most:
                break
        return [(self._records[key], found[key]) for key in sorted(found)]

    def _make_entries(self) -> None:
        """Bring the lists up to the present records."""
        if not self._awaited:
            return
        self._add(self._awaited)
        self._awaited = {}
        if len(self._backwards) > 3 * len(self._records) + _MOST_STALE:
            self._clear()
            self._add(dict.fromkeys(self._records, True))

    def _clear(self) -> None:
        self._forwards = {kind: SortedTexts() for kind in SOURCE_KINDS}
        self._backwards = SortedTexts()

    def _add(self, keys: Mapping[str, bool]) -> None:
        """Add the entries of names, and of ids where the value says so."""
        forwards: dict[str, list[str]] = {kind: [] for kind in SOURCE_KINDS}
        backwards: list[str] = []
        for key, with_id in keys.items():
            record = self._records.get(key)
            if record is None:
                continue
            for what, text in (("n", record.name), ("i", _id(key) if with_id else "")):
                if found := form(text):
                    rest = f"{_SEPARATOR}{what}{key}"
                    forwards[kind_of(key)].append(found + rest)
                    backwards.append(found[::-1] + rest)
        for kind, texts in forwards.items():
            self._forwards[kind].add(texts)
        self._backwards.add(backwards)

    def _live(self, entries: Iterable[str]) -> Iterator[tuple[str, str, str]]:
        """What the entries say, without those of former names and of sources that are gone."""
        for entry in entries:
            name, _, rest = entry.partition(_SEPARATOR)
            what, key = rest[0], rest[1:]
            record = self._records.get(key)
            if record is not None and (what == "i" or form(record.name) == name):
                yield name, what, key


def _id(key: str) -> str:
    return key.partition(":")[2]


def _turned(entry: str) -> str:
    name, separator, rest = entry.partition(_SEPARATOR)
    return name[::-1] + separator + rest
