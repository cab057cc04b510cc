"""The lifecycle of sources against what one shard holds.

Records move while workers run. Only sources whose record was the same before and after the moment
of the shard are compared with what the shard has to have done; a version that the shard has applied
is never ahead of records read later.
"""

from collections.abc import Collection, Iterator, Mapping

from agents.shard.agreement import disagreement
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.verify.shard_image import ShardImage
from agents.views.state_view import StateView
from schemas.records.lifecycle import SourceState, State
from streams.kafka.topic_specs import Topics
from streams.state import keys
from streams.state.hot_table import ManifestEntry

__all__ = ["LifecycleCheck"]


class LifecycleCheck:
    """Compares shards with `view`, whose records were read after the moment of the shard."""

    def __init__(self, topics: Topics, view: StateView, damaged: Collection[str]) -> None:
        self._topics = topics
        self._view = view
        self._damaged = damaged

    def check(self, image: ShardImage, stable: Collection[str]) -> Iterator[Finding]:
        """One shard; `stable` are the sources whose records did not change meanwhile."""
        manifest = image.by_source()
        for source in sorted({*image.applied, *manifest}):
            yield from self._known(image, source, source in manifest)
        for source in sorted(stable):
            record = self._view.get(source)
            if record is not None:
                yield from self._done(image, record, manifest.get(source, {}))

    def _known(self, image: ShardImage, source: str, archived: bool) -> Iterator[Finding]:
        record, done = self._view.get(source), image.applied.get(source)
        where = self._where(image, source)
        if record is None:
            if source not in self._damaged:  # its record is there, and has a finding
                held = "archived rows" if archived else f"version {done.version if done else 0}"
                what = f"the shard has {held} of it, and {self._topics.state} has no record"
                yield found(FindingKind.LIFECYCLE_MISSING, where, what)
        elif done is not None and done.version > record.version:
            what = (
                f"the shard has applied version {done.version} of it, and {self._topics.state} "
                f"has version {record.version}"
            )
            yield found(FindingKind.LIFECYCLE_BEHIND, where, what)

    def _done(
        self, image: ShardImage, record: SourceState, manifest: Mapping[str, ManifestEntry]
    ) -> Iterator[Finding]:
        source = record.source
        done = image.applied.get(source)
        where = self._where(image, source)
        if record.state is State.EXPIRED:
            if done is None or done.state != State.EXPIRING:
                has = "nothing" if done is None else f"{done.state} at version {done.version}"
                what = f"it is EXPIRED at version {record.version}, the shard has applied {has}"
                yield found(FindingKind.SHARD_BEHIND, where, what)
            for segment, entry in manifest.items():
                if segment in image.indexes and entry.epoch < record.epoch:
                    named = self._where(image, source, segment)
                    what = f"its {entry.rows} rows expired in epoch {entry.epoch + 1}"
                    yield found(FindingKind.HOT_NOT_DROPPED, named, what)
            return
        if record.hidden:
            return
        behind = disagreement(source, record, self._view.worked(source), done)
        if behind is not None and (done is None or done.version <= record.version):
            yield found(FindingKind.SHARD_BEHIND, where, f"the shard {behind}")
        elif done is not None and done.state == State.RESTORING:
            for segment, entry in manifest.items():
                if segment not in image.indexes:
                    named = self._where(image, source, segment)
                    what = f"{entry.rows} rows lie in the archive at offset {entry.offset} alone"
                    yield found(FindingKind.RESTORED_MISSING, named, what)

    def _where(self, image: ShardImage, source: str, segment: str | None = None) -> Where:
        key = keys.applied(source) if segment is None else keys.manifest_entry(source, segment)
        value = image.values.get(key)
        offset = None if value is None else value.offset
        text = key.decode(errors="backslashreplace")
        return Where(self._topics.changelog, image.partition, offset, source, segment, text)
