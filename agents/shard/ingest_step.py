"""Makes the steps of ingest: decoded parts, with rejects, forwards and reports of new sources."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import polars as pl

from agents.shard.intake import LaidOutPart
from agents.shard.jobs.context import ShardContext
from schemas.decode.ingest import Ingested
from schemas.decode.users import TakenUsers
from schemas.records.lifecycle import State
from schemas.tables.profile import PROFILE
from streams.kafka.log import Record, RecordGroup
from streams.kafka.topics import Topics
from streams.state import keys
from streams.state.erasures import puts_of
from streams.state.store import Put, Step

__all__ = ["StepMaker"]

_FORMER_PER_STEP = 1_000


class StepMaker:
    """Makes the steps of one shard's ingest, each from the current hot table."""

    def __init__(self, context: ShardContext) -> None:
        self._context = context
        self._topics = Topics(context.settings.prefix)
        self._seen: set[str] = set()
        #: Rows of sources that the coordinator may not know, until they are reported.
        self._unreported: dict[str, int] = {}
        #: Sources of rows that came before the view was read.
        self._before_view: set[str] = set()
        #: Sources on their way to the archive or there, as of that many changes of the view,
        #: and the version at which late rows of each were reported.
        self._archived: tuple[int, set[str]] = (-1, set())
        self._late_reported: dict[str, int] = {}

    @property
    def unreported(self) -> bool:
        """Whether there are sources that `announcements` would report."""
        return bool(self._unreported)

    def recall(self) -> None:
        """Marks all sources of the hot table as unreported: their reports may not have been
        committed.
        """
        table = self._context.store.table
        known = {source: table.rows_in_segments(source) for source in table.by_source}
        for source in (known.keys() | table.sources_in_deltas()) - {PROFILE}:
            self._unreported[source] = known.get(source, 0)

    def announcements(self) -> list[Record]:
        """Reports to the coordinator, once, the sources that are not in `lifecycle.state`."""
        view, rows = self._context.view, self._unreported
        self._unreported = {}
        reported = {source: 0 for source in rows if view.get(source) is None}
        # what came before the view was read may have been late, which nobody could see then
        reported |= self._late_unreported(rows.keys() & self._before_view)
        self._before_view = set()
        return self._reports(reported, rows)

    def step(self, group: Sequence[LaidOutPart]) -> Step:
        """One step of all these parts, with the cursor after the last part."""
        table = self._context.store.table
        frames: dict[bytes, pl.DataFrame] = {}
        versions = {laid.mask_version for laid in group}
        # of several, one at least is not the present one
        step = Step(frames=frames, mask_version=versions.pop() if len(versions) == 1 else -1)
        cursor = dict(table.cursor)
        sources: dict[str, int] = {}
        for part in (part for laid in group for part in laid.parts):
            key = keys.delta(table.next_sequence, len(step.puts), part.letter)
            step.puts.append((key, part.data))
            if part.frame is not None:
                frames[key] = part.frame
        for laid in group:
            step.puts += laid.puts
            step.puts += puts_of(laid.returned)
            cursor |= laid.decoded.cursor
            for source, rows in laid.sources.items():
                sources[source] = sources.get(source, 0) + rows
            for taken in (laid.decoded.ingested, laid.decoded.users):
                step.groups += [*self._rejected(taken), *self._forwards(taken)]
        step.puts += self._forgotten()
        step.puts.append(table.cursor_put(cursor))
        self._note(sources)
        # a source may begin to expire, and be dropped, while this step waits for another one
        step.records_at_commit = partial(self._late_rows, sources)
        return step

    def _forgotten(self) -> list[Put]:
        """Deletes the oldest hashes of event ids that exceed the window, and hashes that a former
        version wrote.
        """
        window = self._context.store.table.window
        spare = sum(window.values()) - self._context.settings.repeat_window
        former = sorted(self._context.store.table.former)[:_FORMER_PER_STEP]
        puts: list[Put] = [(key, None) for key in former]
        for key in sorted(window):
            spare -= window[key]
            if spare < 0:
                break
            puts.append((key, None))
        return puts

    def _note(self, rows: Mapping[str, int]) -> None:
        """Remembers sources that the coordinator may not know."""
        if not self._context.view.caught_up.is_set():
            self._before_view |= rows.keys()
            for source, count in rows.items():
                self._unreported[source] = self._unreported.get(source, 0) + count
        for source in rows.keys() - self._seen:
            self._seen.add(source)
            self._unreported.setdefault(source, rows[source])

    def _late_rows(self, rows: Mapping[str, int]) -> list[Record]:
        """Reports to the coordinator, once for each expiry, expired sources with late rows, so that
        they can be restored even if the archive has no rows of them.
        """
        view = self._context.view
        if self._archived[0] != view.changes:
            there = view.in_states([State.EXPIRING, State.EXPIRED])
            self._archived = view.changes, {record.source for record in there}
        return self._reports(self._late_unreported(rows.keys() & self._archived[1]), rows)

    def _late_unreported(self, sources: Iterable[str]) -> dict[str, int]:
        """Those of the sources that are EXPIRING or EXPIRED and not yet reported as late."""
        reported: dict[str, int] = {}
        for source in sources:
            record = self._context.view.get(source)
            there = record is not None and record.state in (State.EXPIRING, State.EXPIRED)
            if record is not None and there and self._late_reported.get(source) != record.version:
                reported[source] = self._late_reported[source] = record.version
        return reported

    def _reports(self, versions: Mapping[str, int], rows: Mapping[str, int]) -> list[Record]:
        return self._context.reports(
            {"source": source, "version": versions[source], "phase": "seen"}
            | {"interactions": rows[source]}
            for source in sorted(versions)
        )

    def _forwards(self, taken: Ingested | TakenUsers) -> list[RecordGroup]:
        # not the producers' time: the topic would delete what is old before it is read
        now = self._context.clock.now_ms()
        return [
            RecordGroup(
                self._topics.repartition,
                forward.target,
                forward.headers,
                [(key, value, now) for key, value in forward.keyed()],
                forward.own_headers(),
            )
            for forward in taken.forwards
        ]

    def _rejected(self, taken: Ingested | TakenUsers) -> list[RecordGroup]:
        """The rejects as a group, because a topic of garbage makes more of them than can be sent
        one by one.
        """
        if not taken.rejects:
            return []
        now = self._context.clock.now_ms()
        return [
            RecordGroup(
                self._topics.rejected,
                self._context.partition,
                (),
                [(reject.key, reject.value, now) for reject in taken.rejects],
                [reject.headers for reject in taken.rejects],
            )
        ]
