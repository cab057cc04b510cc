"""Proves that nothing is stored of erased users: looks for all of them in everything.

Which users were erased is known once all shards have been read. So the changelogs and archives are
read again, whatever the mask hides, and only if somebody was erased. A trace is damage unless the
erasure of its user is still under way there.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.log_scan import LogStuck
from agents.verify.named_traces import named_traces
from agents.verify.report import VerifyReport
from agents.verify.shard_image import ShardImage
from agents.verify.stored_traces import MERGED, StoredTraces, Trace, read_stored
from schemas.errors import Fatal
from schemas.tables.erased import DIGEST_BYTES, NEVER, ErasedUser, ErasureKey, Mask
from schemas.words.plural import counted
from streams.erasure_key import erasure_key
from streams.kafka.environment import Environment
from streams.kafka.topics import Topics
from streams.state.store_copy import StoreUnreadable
from streams.user_index.index_copy import IndexCopy

__all__ = ["Absence"]

_WHAT = {
    "deltas": "a delta",
    "segments": "a hot segment",
    "counts": "the counts",
    "roster": "the roster",
    "externals": "the external ids",
    MERGED: "the roster's records of other users, who were merged into the erased one",
    "archive": "an archived segment",
    "former copies": "an archived record that counts no more",
}


class Absence:
    """`take` every shard, then `run`."""

    def __init__(
        self, environment: Environment, report: VerifyReport, passed: Callable[[int], None]
    ) -> None:
        self._environment = environment
        self._settings = environment.settings
        self._topics = Topics(environment.settings.prefix)
        self._report = report
        self._passed = passed
        self._entries: dict[int, list[ErasedUser]] = {}
        self._keys: dict[int, str | None] = {}
        self._ends: Mapping[tuple[str, int], tuple[int, int]] = {}
        self._mask = Mask()
        self._shards: dict[int, StoredTraces] = {}

    async def begin(self) -> None:
        """Note where the changelogs end before anything is read."""
        logs = [(self._topics.changelog, shard) for shard in range(self._settings.partitions)]
        self._ends = await self._environment.kafka.admin.bounds(logs)

    def take(self, image: ShardImage) -> None:
        """Note who was erased in a shard, at its moment."""
        self._entries[image.partition] = list(image.erased)
        marks = image.erasure_marks
        self._keys[image.partition] = None if marks is None else marks.key

    async def run(self) -> None:
        """Look for all of them. Adds to the report."""
        users = sum(len({one.token for one in some}) for some in self._entries.values())
        if not users:
            return
        self._report.figures.update(erased_users=users)
        key = self._key(users)
        if key is None:
            return
        every = [one for some in self._entries.values() for one in some]
        self._mask = Mask(key).changed(every)
        try:
            for shard in range(self._settings.partitions):
                stored = StoredTraces(self._topics, shard, self._settings.partitions, self._seek)
                await read_stored(self._environment, stored, passed=self._passed)
                self._shards[shard] = stored
            named = await named_traces(self._environment, self._mask)
        except LogStuck as error:
            self._report.add([error.finding()])
            self._report.unchecked.append(
                "that nothing is stored of erased users, as a log could not be read"
            )
            return
        for stored in self._shards.values():
            self._stored(stored)
            self._indexed(stored.partition)
        for one in named:
            where = Where(*one.partition, one.offset, key=one.key or None)
            what = f"a text of the record names an erased user ({_user(one.digest)})"
            self._report.add([found(FindingKind.ERASED_NAMED, where, what)])

    def _key(self, users: int) -> ErasureKey | None:
        """The key, if it is that of all shards; else the report says so."""
        try:
            key = erasure_key(self._settings)
        except Fatal as error:
            key, why = None, error.message
        else:
            why = "the key under which (erasure_key_file) is not here"
        known = {one for one in self._keys.values() if one is not None}
        if key is not None and known == {key.id}:
            return key
        self._report.unchecked.append(
            f"that nothing is stored of {counted(users, 'erased user')}: {why}"
        )
        return None

    def _seek(self, place: str, rows: pl.DataFrame) -> Mapping[str, int]:
        """Hidden rows by the digest of their users, in hexadecimal digits."""
        mask = self._mask
        if place == MERGED:
            rows = rows.select(user="merged_into").drop_nulls()
        elif place == "counts":
            rows = rows.select("user").drop_nulls()
        entries = mask.among(rows["user"])
        if not entries:
            return {}
        if place in (MERGED, "counts"):
            # those of users who have come back may be new
            gone = [user for user, one in entries.items() if one.returned_at == NEVER]
            hidden = Counter(rows["user"].filter(rows["user"].is_in(gone)).to_list())
        else:
            kept = {"roster": mask.roster, "externals": mask.externals}.get(place, mask.rows)
            among = rows.filter(pl.col("user").is_in(list(entries)))
            hidden = Counter(among["user"].to_list()) - Counter(kept(among)["user"].to_list())
        digests = {user: one.token[:DIGEST_BYTES].hex() for user, one in entries.items()}
        return {digests[user]: count for user, count in hidden.items()}

    def _stored(self, stored: StoredTraces) -> None:
        self._report.figures.update(erased_uncompacted=stored.uncompacted)
        if stored.unread:
            self._report.unchecked.append(
                f"that nothing is stored of erased users in {stored.unread[0]}"
                + (f", and {len(stored.unread) - 1} more" if stored.unread[1:] else "")
            )
        groups: dict[tuple[str, int], list[Trace]] = {}
        for trace in stored.found:
            if self._counts(stored, trace):
                groups.setdefault((trace.partition[0], trace.offset), []).append(trace)
        for traces in groups.values():
            self._report.add(self._findings(traces))

    def _findings(self, traces: list[Trace]) -> Iterator[Finding]:
        """One for each place in a record."""
        for place in dict.fromkeys(trace.place for trace in traces):
            some = [trace for trace in traces if trace.place == place]
            first = some[0]
            where = Where(*first.partition, first.offset, first.source, first.segment, first.key)
            what = (
                f"{counted(sum(one.rows for one in some), 'row')} of "
                f"{counted(len(some), 'erased user')} ({_user(first.user)}) in {_WHAT[place]}"
            )
            merged = place == MERGED
            kind = FindingKind.ERASED_MERGED if merged else FindingKind.ERASED_ROWS
            yield found(kind, where, what)

    def _counts(self, stored: StoredTraces, trace: Trace) -> bool:
        """Whether a trace is damage: nothing is under way that removes it."""
        home, user = self._home(trace.user)
        if user is None or user != self._mask.users[bytes.fromhex(trace.user)]:
            return False  # the user has come back meanwhile, or was erased again
        clean = 0 if stored.marks is None else stored.marks.hot
        if trace.place == MERGED:
            end = self._ends[self._topics.changelog, stored.partition][1]
            clean = 0
            if trace.offset >= end:
                return False  # whether the user had come back by then is not known
        elif trace.place == "segments":
            # what was restored for somebody who holds it may not have passed the mask
            entry = stored.entry_of(trace.segment)
            clean = clean if entry is None else min(clean, entry.masked)
        elif trace.place == "archive":
            clean = 0 if trace.entry is None else trace.entry.masked
        elif trace.place == "former copies":
            dead = 0 if stored.marks is None else stored.marks.dead
            clean = 0 if trace.offset < dead else NEVER
            if trace.offset >= stored.archive_end:
                return False  # newer than the manifest that was read
        if user.generation <= clean or user.generation not in home.open:
            return True
        self._report.figures.update(erased_under_way=trace.rows)
        return False

    def _home(self, digest: str) -> tuple[StoredTraces, ErasedUser | None]:
        """The shard of an erased user, and the user's entry there."""
        for stored in self._shards.values():
            user = stored.erased.get(bytes.fromhex(digest))
            if user is not None:
                return stored, user
        return next(iter(self._shards.values())), None

    def _indexed(self, shard: int) -> None:
        """The local index by user, if there is one: a run that was written after the erasure."""
        folder = Path(self._settings.data_dir) / f"users-{shard}"
        if not (folder / "CURRENT").exists():
            return
        try:
            with IndexCopy(folder) as copy:
                for run, rows in copy.rows():
                    count = sum(
                        count
                        for digest, count in self._seek("segments", rows).items()
                        if self._mask.users[bytes.fromhex(digest)].generation <= copy.clean
                    )
                    if count:
                        where = Where(self._topics.changelog, shard, key=f"{folder}, run {run}")
                        what = f"{counted(count, 'row')} of erased users in the index by user"
                        self._report.add([found(FindingKind.ERASED_INDEXED, where, what)])
        except StoreUnreadable:
            return  # the comparison of the index says so


def _user(digest: str) -> str:
    """As the changelog names the user."""
    return f"g/{digest}"
