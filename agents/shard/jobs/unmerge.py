"""Makes deletions of the records of users who were merged into erased ones.

Such a record is of another user, in any shard, and names the erased one in `merged_into`. Without
the name its user would stand alone, and so be in answers again. As a deletion its user is in none,
as before; its rows count again once the producer writes the record of that user again.

A shard first reads what was in the topic `users` when the request came, so that no older record
comes behind. Then it looks at every delta and run of the roster. What it writes keeps the sequence
of the former rows, so a later record of a user stays the later one.

Each step is one transaction and counts what it changes. After a crash everything is looked at
again, and what is done already needs nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from agents.shard.jobs.context import ShardContext
from schemas.tables.erased import DIGEST_BYTES, ErasedUser, ErasureKey, Mask
from streams.kafka.topics import Topics
from streams.state import auxiliary_table as auxiliary
from streams.state import keys
from streams.state.auxiliary_table import ROSTER
from streams.state.store import Put, Step

__all__ = ["Unmerge"]

#: After all of the roster has been looked at, it rests for so many times as long as that took.
_REST = 4.0


@dataclass
class _Pass:
    """One look at the whole roster, for some requests: `request_of` gives the request of a digest.

    Rows with the sequence `bound` or a higher one came after it began: they say what they say.
    `deltas` were there then; `looked` are runs that name nobody.
    """

    requests: Sequence[str]
    mask: Mask
    request_of: Mapping[bytes, str]
    bound: int
    deltas: set[bytes]
    looked: set[bytes]
    began: float

    def found(self, merged_into: pl.Series) -> dict[str, str]:
        """The users among these names, each with its request."""
        among = self.mask.among(merged_into.drop_nulls())
        return {user: self.request_of[one.token[:DIGEST_BYTES]] for user, one in among.items()}


class Unmerge:
    """Belongs to one shard."""

    def __init__(self, context: ShardContext) -> None:
        self._context = context
        #: Of each request: up to where the topic users has to be read first.
        self._until: dict[str, int] = {}
        self._pass: _Pass | None = None
        self._rest_until = 0.0

    async def step(self, key: ErasureKey, waiting: Sequence[str]) -> bool:
        """The next step for requests that are not done; False if there is nothing to do now.

        Raises `Fenced`, `StepFailed`.
        """
        await self._note_ends(waiting)
        if self._pass is None:
            self._pass = await self._begun(key, waiting)
        now = self._pass
        return now is not None and (
            await self._flush(now) or await self._runs(now) or await self._end(now)
        )

    async def _note_ends(self, waiting: Collection[str]) -> None:
        self._until = {one: end for one, end in self._until.items() if one in waiting}
        fresh = [one for one in waiting if one not in self._until]
        if not fresh:
            return
        context = self._context
        users = Topics(context.settings.prefix).users, context.partition
        _, end = (await context.kafka.admin.bounds([users]))[users]
        self._until |= dict.fromkeys(fresh, end)

    async def _begun(self, key: ErasureKey, waiting: Sequence[str]) -> _Pass | None:
        context, table = self._context, self._context.store.table
        now = context.clock.monotonic_s()
        if now < self._rest_until:
            return None
        read, view = table.cursor.get(Topics(context.settings.prefix).users, 0), context.view
        # a worker that has just started may not have read who is asked for
        due = [one for one in waiting if read >= self._until[one] and view.erasures.open(one)]
        named = {one: view.erasures.named(one) for one in due}
        tokens = await asyncio.to_thread(_tokens, key, named)
        if not tokens:
            return None
        digests = {token[:DIGEST_BYTES]: one for one, some in tokens.items() for token in some}
        mask = Mask(key).changed(
            ErasedUser(each, 0, 1) for some in tokens.values() for each in some
        )
        held = table.auxiliary[ROSTER.delta]
        last = (frame["sequence"].max() for frame in held.values() if frame.height)
        bound = max((int(one) + 1 for one in last if isinstance(one, int)), default=1 << 62)
        return _Pass(list(tokens), mask, digests, bound, set(held), set(), now)

    async def _flush(self, now: _Pass) -> bool:
        """Deltas are in memory and in the changelog: those that name somebody become runs."""
        held = self._context.store.table.auxiliary[ROSTER.delta]
        now.deltas &= held.keys()
        if not any(now.found(held[key]["merged_into"]) for key in now.deltas):
            return False
        await self._context.flush_auxiliary()
        return True

    async def _runs(self, now: _Pass) -> bool:
        """Looks at some runs, and writes those anew that name somebody."""
        context, table = self._context, self._context.store.table
        left = sorted(table.runs[ROSTER.run].keys() - now.looked)
        if not left:
            return False
        puts: list[Put] = []
        counts: Counter[str] = Counter()
        weight = 0
        for key in left:
            data = context.store.state_store.get(key) or b""
            weight += len(data)
            rows = await asyncio.to_thread(_without, now, data, counts)
            if rows is None:
                now.looked.add(key)
            else:
                # another key: what was read of a run is kept by its key
                made = keys.run(ROSTER.run, keys.run_parts(key)[0], context.new_id(), 0)
                puts += [(key, None), (made, rows)]
            if weight >= context.work_bytes:
                break
        if puts:
            puts += [
                replace(work, merges=work.merges + counts[request_id]).put(request_id)
                for request_id, work in table.erasures.items()
                if counts[request_id]
            ]
            await context.store.commit(Step(puts=puts))
        return True

    async def _end(self, now: _Pass) -> bool:
        """Notes that no record names the users of the requests."""
        context, works = self._context, self._context.store.table.erasures
        self._pass = None
        took = context.clock.monotonic_s() - now.began
        self._rest_until = context.clock.monotonic_s() + _REST * took
        puts = [replace(works[one], apart=True).put(one) for one in now.requests if one in works]
        if puts:
            await context.store.commit(Step(puts=puts))
        return True


def _tokens(key: ErasureKey, named: Mapping[str, Collection[str]]) -> dict[str, list[bytes]]:
    """The users of each request, whatever their shard; without requests of another key."""
    opened = {one: [key.opened(user) for user in users] for one, users in named.items()}
    return {
        one: [found[1] for found in users if found is not None]
        for one, users in opened.items()
        if users and None not in users
    }


def _without(now: _Pass, data: bytes, counts: Counter[str]) -> bytes | None:
    """The bytes of a run whose records name nobody; None if none does. Adds to `counts`, by
    request, how many did. Raises `CorruptSegment`.
    """
    merged_into = auxiliary.decode(data, ("merged_into",))["merged_into"]
    found = now.found(merged_into)
    if not found:
        return None
    rows = auxiliary.decode(data)
    named = pl.col("merged_into").is_in(list(found)) & (pl.col("sequence") < now.bound)
    gone = rows.filter(named)
    if not gone.height:
        return None
    counts.update(found[user] for user in gone["merged_into"].to_list())
    nothing = {name: pl.lit(None, pl.String) for name in ("external", "aliases", "merged_into")}
    changed = rows.with_columns(
        *(pl.when(named).then(none).otherwise(name).alias(name) for name, none in nothing.items()),
        deleted=named.fill_null(value=False) | pl.col("deleted"),
    )
    return auxiliary.encode(changed)
