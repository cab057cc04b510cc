"""The coordinator's bookkeeping against `lifecycle.state`: the same state and version."""

from collections.abc import Collection, Iterator, Mapping

from agents.coordinator.rules.state import Source
from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from agents.views.state_view import StateView
from streams.kafka.topic_specs import Topics

__all__ = ["check_coordinator"]


def check_coordinator(
    topics: Topics,
    kept: Mapping[str, tuple[int, Source]],
    view: StateView,
    stable: Collection[str],
    damaged: Collection[str] = (),
) -> Iterator[Finding]:
    """Compare the sources in `stable`; `kept` has the coordinator's by name, with their offset.

    `damaged` are sources whose record of `lifecycle.state` cannot be read. `view` was read last.
    """
    for source in sorted(stable):
        record = view.get(source)
        if record is None:
            continue
        offset, own = kept.get(source, (None, None))
        where = Where(topics.coordinator, 0, offset, source, key=f"s/{source}")
        if own is None:
            what = f"{topics.state} has {record.state} at version {record.version}, and the "
            yield found(FindingKind.COORDINATOR_OTHER, where, what + "coordinator has no record")
        elif (own.state, own.version, own.epoch) != (record.state, record.version, record.epoch):
            what = (
                f"the coordinator has {own.state} at version {own.version} of epoch {own.epoch}, "
                f"{topics.state} has {record.state} at version {record.version} of epoch "
                f"{record.epoch}"
            )
            yield found(FindingKind.COORDINATOR_OTHER, where, what)
    for source, (offset, own) in sorted(kept.items()):
        if view.get(source) is None and source not in damaged:
            where = Where(topics.coordinator, 0, offset, source, key=f"s/{source}")
            what = f"the coordinator has {own.state} at version {own.version}, and {topics.state} "
            yield found(FindingKind.COORDINATOR_OTHER, where, what + "has no record")
