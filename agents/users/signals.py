"""The signals of a user, independent of sources: current facts, keywords, feed views."""

from dataclasses import dataclass, field

import polars as pl

from schemas.tables.profile import PROFILE

__all__ = ["FACTS", "Signals", "signals"]

FACTS = ("hard_bounce", "spam_report", "invalid_phone", "feature_flag")
"""Kinds that may be cleared: one holds while it was set later than it was cleared."""


@dataclass(slots=True)
class Signals:
    """`facts` has, for every kind of `FACTS`, the last time each current value was set; `keywords`
    the last time of each category; `feed_viewed` the last view of the feed. Times are UTC
    milliseconds.
    """

    facts: dict[str, dict[str | None, int]] = field(default_factory=dict)
    keywords: dict[str | None, int] = field(default_factory=dict)
    feed_viewed: int | None = None

    def since(self, kind: str) -> int | None:
        """The last time the fact was set, None if it does not hold."""
        return max(self.facts.get(kind, {}).values(), default=None)


def signals(rows: pl.DataFrame) -> Signals:
    """The signals in one user's rows in `interaction.SCHEMA`, profile-wide rows included."""
    found = Signals()
    cleared: dict[tuple[str, str | None], int] = {}
    for source, _, kind, _, _, variation, detail, _, last in rows.rows():
        if source != PROFILE:
            continue
        # see schemas.tables.profile: the word `cleared` stands there
        was_cleared = variation is not None
        if kind in FACTS and was_cleared:
            cleared[kind, detail] = max(last, cleared.get((kind, detail), last))
        elif kind in FACTS:
            values = found.facts.setdefault(kind, {})
            values[detail] = max(last, values.get(detail, last))
        elif kind == "inbound_keyword" and not was_cleared:
            found.keywords[detail] = max(last, found.keywords.get(detail, last))
        elif kind == "feed_view" and not was_cleared:
            found.feed_viewed = max(last, found.feed_viewed or last)
    for (kind, detail), at in cleared.items():
        if found.facts.get(kind, {}).get(detail, at + 1) <= at:
            del found.facts[kind][detail]
    return found
