"""The sources as columns, so that a page of a very long list is found, filtered and put in order in
a few milliseconds, outside the event loop.

The columns follow `lifecycle.state`: before a question, only what has changed since the question
before is read again. An answer is a page in an order whose last part is the key, so it begins
behind one entry, named by its value and its key, whatever came or went meanwhile.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import polars as pl

from agents.names.form import folded
from agents.resources.threads import execute
from agents.views.protocol import ChangingStates
from schemas.records.lifecycle import SourceState, State

__all__ = [
    "BY_SIZE",
    "INTERACTIONS",
    "ORDERS",
    "After",
    "ListFilter",
    "SourceOrder",
    "SourcePage",
    "SourceTable",
]

BY_SIZE = ("interactions", "bytes", "archived_bytes", "last_event_on")
"""Orders by what the shards know."""
INTERACTIONS = pl.max_horizontal("rows", "archived_rows")
"""Of a source with sizes: the archive keeps its copy of what it gave back."""
ORDERS = ("source", "name", "state", "due_at", *BY_SIZE)

_STEP = 2_000
"""Sources that are read again before others have their turn in the event loop."""
_NAME = 100
"""Characters of a name that count for the order."""
_STATES = {state: number for number, state in enumerate(State)}


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Which sources: with `name` anywhere in the name or the id, in any case and form of
    Unicode; of one of `kinds` and
    in one of `states`, where any are given; with all of `tags`; and among `keys`, if given.
    """

    name: str = ""
    kinds: frozenset[str] = frozenset()
    states: frozenset[State] = frozenset()
    tags: frozenset[str] = frozenset()
    keys: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class SourceOrder:
    """One of ORDERS. Sources without a value are last in both directions; equal ones are in the
    order of their keys.
    """

    by: str = "source"
    descending: bool = False


@dataclass(frozen=True, slots=True)
class After:
    """The last entry of the page before: its value and its key."""

    value: int | str | None
    key: str


@dataclass(frozen=True, slots=True)
class SourcePage:
    """Keys in order, the number of all that match, and where the next page begins."""

    keys: list[str]
    total: int
    next: After | None


class SourceTable:
    """Belongs to one worker and its event loop."""

    def __init__(self, states: ChangingStates) -> None:
        self._states = states
        self._turn = asyncio.Lock()
        self._position = 0
        self._rows: dict[str, int] = {}
        self._keys: list[str] = []
        self._names: list[str] = []
        self._state: list[int] = []
        self._due: list[int | None] = []
        self._tags: list[tuple[str, ...]] = []
        #: Rows by tag.
        self._tagged: dict[str, set[int]] = {}
        self._texts: pl.DataFrame | None = None
        self._frame: pl.DataFrame | None = None
        #: The sizes in the order of the rows, and what they were made of.
        self._sizes: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame] | None = None

    async def page(
        self,
        wanted: ListFilter,
        order: SourceOrder,
        after: After | None,
        limit: int,
        outline: pl.DataFrame | None = None,
    ) -> SourcePage:
        """One page of the sources that match. An order BY_SIZE needs their `outline`."""
        frame, texts = await self._current()
        rows = self._with_tags(wanted.tags)

        def found() -> SourcePage:
            sizes = [] if outline is None else self._beside(texts, outline)
            return _page(_matching(frame.hstack(sizes), wanted, rows), order, after, limit)

        return await execute(found)

    async def keys(self, wanted: ListFilter) -> list[str]:
        """The keys of all sources that match, in their order."""
        frame, _ = await self._current()
        rows = self._with_tags(wanted.tags)
        return await execute(lambda: _matching(frame, wanted, rows)["source"].sort().to_list())

    async def _current(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The columns, as of now."""
        async with self._turn:
            end = self._states.position
            changed = list(self._states.changed_since(self._position))
            for start in range(0, len(changed), _STEP):
                for source in changed[start : start + _STEP]:
                    record = self._states.get(source)
                    if record is not None:
                        self._put(record)
                if len(changed) > start + _STEP:
                    await asyncio.sleep(0)
            self._position = end
            if self._texts is None:
                texts = list(self._keys), list(self._names)
                self._texts = await execute(partial(_texts, *texts))
            if self._frame is None:
                self._frame = self._texts.with_columns(
                    pl.Series("state", self._state, pl.UInt8),
                    pl.Series("due_at", self._due, pl.Int64),
                )
            return self._frame, self._texts

    def _put(self, record: SourceState) -> None:
        row = self._rows.get(record.source)
        self._frame = None
        if row is None:
            row = self._rows[record.source] = len(self._keys)
            self._keys.append(record.source)
            self._names.append(record.name)
            self._state.append(0)
            self._due.append(None)
            self._tags.append(())
            self._texts = None
        elif self._names[row] != record.name:
            self._names[row] = record.name
            self._texts = None
        self._state[row], self._due[row] = _STATES[record.state], record.due_at
        if self._tags[row] != record.tags:
            for tag in self._tags[row]:
                self._tagged[tag].discard(row)
            for tag in record.tags:
                self._tagged.setdefault(tag, set()).add(row)
            self._tags[row] = record.tags

    def _with_tags(self, tags: Iterable[str]) -> set[int] | None:
        """The rows with all of these tags; None for all rows."""
        found: set[int] | None = None
        for tag in tags:
            tagged = self._tagged.get(tag, set())
            found = set(tagged) if found is None else found & tagged
        return found

    def _beside(self, texts: pl.DataFrame, outline: pl.DataFrame) -> list[pl.Series]:
        """The sizes of the sources in the order of the rows."""
        known = self._sizes
        if known is None or known[0] is not texts or known[1] is not outline:
            joined = texts.select("source").join(outline, "source", "left", maintain_order="left")
            known = self._sizes = texts, outline, joined.drop("source")
        return known[2].get_columns()


def _texts(keys: list[str], names: list[str]) -> pl.DataFrame:
    """What changes only when sources are new or get other names."""
    source = pl.Series("source", keys, pl.String)
    found = [folded(name) for name in names]
    ids = [folded(key) for key in keys]
    titles = [(name or key)[:_NAME] for name, key in zip(found, ids, strict=True)]
    return pl.DataFrame(
        [
            source,
            pl.Series("name", found, pl.String),
            pl.Series("id", ids, pl.String),
            pl.Series("title", titles, pl.String),
            source.rank("ordinal").alias("rank"),
        ]
    ).with_row_index("row")


def _matching(frame: pl.DataFrame, wanted: ListFilter, rows: set[int] | None) -> pl.DataFrame:
    terms: list[pl.Expr] = []
    if wanted.kinds:
        starts = [pl.col("source").str.starts_with(f"{kind}:") for kind in sorted(wanted.kinds)]
        terms.append(pl.any_horizontal(starts))
    if wanted.states:
        terms.append(pl.col("state").is_in([_STATES[state] for state in wanted.states]))
    if rows is not None:
        terms.append(pl.col("row").is_in(pl.Series(sorted(rows), dtype=pl.UInt32).implode()))
    if wanted.keys is not None:
        keys = pl.Series(sorted(wanted.keys), dtype=pl.String)
        terms.append(pl.col("source").is_in(keys.implode()))
    if text := folded(wanted.name):
        in_name = pl.col("name").str.contains(text, literal=True)
        terms.append(in_name | pl.col("id").str.contains(text, literal=True))
    return frame.filter(*terms) if terms else frame


def _page(
    matching: pl.DataFrame, order: SourceOrder, after: After | None, limit: int
) -> SourcePage:
    found = matching.with_columns(value=_value(order.by))
    rest = found if after is None else found.filter(_behind(after, order.descending))
    by = [pl.col("value"), pl.col("rank")]
    page = rest.sort(by, descending=[order.descending, False], nulls_last=True).head(limit)
    last = page.row(-1, named=True) if 0 < limit < rest.height else None
    behind = None if last is None else After(last["value"], last["source"])
    return SourcePage(page["source"].to_list(), found.height, behind)


def _value(by: str) -> pl.Expr:
    if by == "source":
        return pl.lit(None, pl.Int64)
    if by == "name":
        return pl.col("title")
    if by == "interactions":
        return INTERACTIONS
    return pl.col({"last_event_on": "last_day"}.get(by, by)).cast(pl.Int64)


def _behind(after: After, descending: bool) -> pl.Expr:
    """What comes behind that entry."""
    value, later = pl.col("value"), pl.col("source") > after.key
    if after.value is None:
        return value.is_null() & later
    beyond = value < after.value if descending else value > after.value
    return (beyond | ((value == after.value) & later)).fill_null(value.is_null())
