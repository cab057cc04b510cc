"""A shard made from events, and the facts for plans."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

import polars as pl

from agents.filters.plan_facts import FixedPlanFacts, SourceView
from agents.filters.roster import Roster
from schemas.records.lifecycle import State
from schemas.tables.fold import fold
from schemas.tables.interaction import SCHEMA
from schemas.tables.profile import PROFILE_KEY, PROFILE_SCHEMA
from tests.rigs.filters.brute import Event, Facts

KINDS = set(SCHEMA["kind"].categories)  # type: ignore[attr-defined]


def origin(event: Event) -> str | None:
    """Campaign, Canvas or neither."""
    return event.source and event.source.split(":")[0]


def plan_facts_of(facts: Facts, segment_text: Callable[[object], str]) -> FixedPlanFacts:
    """The same facts for a plan; versions are running numbers."""
    return FixedPlanFacts(
        sources={
            key: SourceView(
                state=State(one.state),
                version=at,
                legacy_deleted=one.legacy,
                steps=frozenset(one.steps),
                variations=frozenset(one.variations),
            )
            for at, (key, one) in enumerate(sorted(facts.sources.items()))
        },
        segments={key: segment_text(tree) for key, tree in facts.segments.items()},
        tags=facts.tags,
    )


@dataclass
class Shard:
    """Gives the events as chunks: in random order, cut and folded at random, some repeated."""

    facts: Facts
    random: Random
    asked: list[str] = field(default_factory=list)

    def roster(self) -> Roster:
        """In order, as `Roster` wants them."""
        return Roster(pl.DataFrame({"user": sorted(self.facts.roster)}, {"user": pl.String}))

    def rows(self, source: str, columns: Sequence[str], where: pl.Expr) -> Iterator[pl.DataFrame]:
        """Just the columns that are asked for, sometimes just the rows."""
        self.asked.append(source)
        mine = [event for event in self.facts.events if event.source == source]
        for part in self._cut([event for event in mine if event.kind in KINDS]):
            frame = pl.DataFrame(
                [(*e[:7], e.time, e.time) for e in part],
                SCHEMA,
                orient="row",
            )
            frame = fold(frame) if self.random.random() < 0.5 else frame
            yield (frame.filter(where) if self.random.random() < 0.5 else frame).select(columns)

    def profile(self, columns: Sequence[str], kinds: Collection[str]) -> Iterator[pl.DataFrame]:
        """Just the columns that are asked for, sometimes more than those kinds."""
        wanted = [e for e in self.facts.events if e.kind in kinds or self.random.random() < 0.3]
        for part in self._cut(wanted):
            frame = pl.DataFrame(
                [
                    (e.user, e.kind, e.channel, origin(e), e.detail, e.cleared, e.time, e.time)
                    for e in part
                ],
                PROFILE_SCHEMA,
                orient="row",
            )
            if self.random.random() < 0.5:
                frame = frame.group_by(PROFILE_KEY).agg(pl.col("first").min(), pl.col("last").max())
            yield frame.select(columns)

    def feed_views(self) -> pl.DataFrame:
        """Each count in two parts."""
        counts = list(self.facts.views.items())
        rows = [(user, part) for user, n in counts for part in (n // 2, n - n // 2)]
        return pl.DataFrame(rows, {"user": pl.String, "count": pl.Int64}, orient="row")

    def _cut(self, events: list[Event]) -> Iterator[list[Event]]:
        again = [event for event in events if self.random.random() < 0.2]
        events = [*events, *again]
        self.random.shuffle(events)
        if self.random.random() < 0.5:
            events.sort(key=lambda event: event.user)
        while events:
            size = self.random.randint(1, len(events))
            yield events[:size]
            events = events[size:]
