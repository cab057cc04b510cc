"""A person's data, from that of all ids. Pure."""

from collections import Counter
from collections.abc import Sequence

import polars as pl

from agents.users.facts import ArchivedUser, UserFacts
from schemas.tables.fold import fold

__all__ = ["archived_together", "together"]


def together(person: str, parts: Sequence[UserFacts]) -> UserFacts:
    """The facts of a person, as if all rows had the person's id. Ids that were deleted have none;
    what is hidden of one id is hidden of all.

    `parts` are the facts of all ids, the person's own among them: it says who the person is, and
    nobody is that person if it is not known.
    """
    (own,) = (each for each in parts if each.user == person)
    if len(parts) == 1 or not own.known:
        return own
    living = [each for each in parts if each.person is None or not each.person.deleted]
    hidden: Counter[str] = Counter()
    for each in living:
        hidden.update(each.hidden)
    rows = _renamed([own.rows.clear(), *(each.rows for each in living)], person)
    if hidden:
        # the shards of two ids may have read a change of a source at different moments
        covered = rows["source"].is_in(list(hidden))
        hidden.update(dict(rows.filter(covered).group_by("source").len().iter_rows()))
        rows = rows.filter(~covered)
    return UserFacts(
        user=person,
        person=own.person,
        rows=rows,
        hidden=dict(hidden),
        feed_views=sum(each.feed_views for each in living),
        others=tuple(each.user for each in parts if each.user != person),
    )


def archived_together(person: str, parts: Sequence[ArchivedUser]) -> ArchivedUser:
    """What hidden sources have of all ids of a person."""
    if len(parts) == 1:
        return parts[0]
    return ArchivedUser(
        rows=_renamed([each.rows for each in parts], person),
        sources=tuple(sorted({source for each in parts for source in each.sources})),
        segments=sum(each.segments for each in parts),
        bytes=sum(each.bytes for each in parts),
        damaged=tuple(dict.fromkeys(one for each in parts for one in each.damaged)),
    )


def _renamed(frames: Sequence[pl.DataFrame], person: str) -> pl.DataFrame:
    rows = pl.concat(frames).with_columns(user=pl.lit(person))
    return fold(rows).sort("source", maintain_order=True)
