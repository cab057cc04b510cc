"""The promises of the lifecycle hold for any inputs in any order."""

from collections import Counter
from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from agents.coordinator.rules.outputs import Output
from agents.coordinator.rules.state import Source, Why
from schemas.records.lifecycle import HIDDEN, VISIBLE, WORKING, Phase, State
from tests.rigs.desk import DAY, MONTH3, Desk, of

PARTITIONS = 3
SOURCES = ("campaign:a", "campaign:b", "canvas:c")
SEGMENTS = ("segment:s", "segment:t")

sources = st.sampled_from(SOURCES)
statuses = st.sampled_from(["DRAFT", "ACTIVE", "STOPPED", "ARCHIVED"])
leaves = st.one_of(
    st.builds(lambda key: _leaf(key), st.sampled_from(SOURCES + SEGMENTS)),
    st.just({"filter": "received_with_tag", "tag": "x"}),
    st.just({"filter": "opaque", "campaign": "a"}),
)
trees = st.one_of(
    st.none(),
    leaves,
    st.builds(lambda one, two: {"and": [one, {"not": two}]}, leaves, leaves),
)
commands = st.sampled_from(
    ["restore", "restore", "cancel", "expire", "hold", "unhold", "pause", "resume", "resume"]
)
_PHASES = {State.EXPIRING: Phase.EXPIRED, State.RESTORING: Phase.RESTORED}


def _leaf(key: str) -> dict[str, str]:
    kind, _, name = key.partition(":")
    names = {
        "segment": "in_segment",
        "campaign": "received_from_campaign",
        "canvas": "received_from_step",
    }
    return {"filter": names[kind], kind: name}


class Lifecycle(RuleBasedStateMachine):
    """Random catalogs, commands, reports and ticks, on a desk that may restart at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk(partitions=PARTITIONS, sweep_confirm_share=0.7, shard_deadline_ms=10 * DAY)
        self.expired: Counter[tuple[str, int]] = Counter()
        self.restored: Counter[tuple[str, int]] = Counter()
        self.reported: dict[tuple[str, int], set[int]] = {}
        self.shown: dict[str, tuple[State, int]] = {}

    @rule(
        key=st.sampled_from(SOURCES + SEGMENTS),
        status=statuses,
        filters=trees,
        tagged=st.booleans(),
    )
    def define(self, key: str, status: str, filters: object, tagged: bool) -> None:
        self.see(
            lambda: self.desk.define(key, status, filters=filters, tags=("x",) if tagged else ())
        )

    @rule(key=st.sampled_from(SOURCES + SEGMENTS))
    def delete(self, key: str) -> None:
        self.see(lambda: self.desk.delete(key))

    @rule(kind=commands, names=st.lists(sources, min_size=1, max_size=2), tagged=st.booleans())
    def command(self, kind: str, names: list[str], tagged: bool) -> None:
        self.see(lambda: self.desk.command(kind, *names, tag="x" if tagged else None))

    @rule(kind=commands, name=sources, request_id=st.sampled_from(["one", "two"]))
    def repeated_command(self, kind: str, name: str, request_id: str) -> None:
        known = request_id in self.desk.state.requests
        said = self.see(lambda: self.desk.command(kind, name, request_id=request_id))
        if known:
            assert not of(said, "state")

    @initialize(first=st.lists(statuses, min_size=3, max_size=3))
    def begin(self, first: list[str]) -> None:
        for key, status in zip(SOURCES, first, strict=True):
            self.define(key, status, None, True)

    def working(self) -> list[str]:
        found = self.desk.state.sources.values()
        return sorted(source.source for source in found if source.state in WORKING)

    @precondition(lambda self: self.working())
    @rule(data=st.data(), partition=st.integers(0, PARTITIONS - 1), behind=st.integers(0, 1))
    def report(self, data: st.DataObject, partition: int, behind: int) -> None:
        self.reports(data.draw(st.sampled_from(self.working())), partition, behind)

    @precondition(lambda self: self.working())
    @rule(data=st.data())
    def all_report(self, data: st.DataObject) -> None:
        self.work_off(data.draw(st.sampled_from(self.working())))

    @rule()
    def everything_is_worked_off(self) -> None:
        self.see(lambda: self.desk.tick(MONTH3))
        for name in self.working():
            self.work_off(name)

    def work_off(self, name: str) -> None:
        version = self.desk.source(name).version
        for partition in range(PARTITIONS):
            if self.desk.source(name).version == version:
                self.reports(name, partition, 0)

    def reports(self, name: str, partition: int, behind: int) -> None:
        version = self.desk.source(name).version - behind
        if not behind:
            self.reported.setdefault((name, version), set()).add(partition)
        phase = _PHASES[self.desk.source(name).state]
        self.see(lambda: self.desk.report(name, partition, phase=phase, version=version))

    @rule(name=sources, phase=st.sampled_from(Phase), partition=st.integers(0, PARTITIONS))
    def stray_report(self, name: str, phase: Phase, partition: int) -> None:
        self.see(lambda: self.desk.report(name, partition, phase=phase, version=0))

    @rule(
        after=st.sampled_from([0, DAY, 30 * DAY, MONTH3]), skew=st.sampled_from([0, 0, 0, 400_000])
    )
    def tick(self, after: int, skew: int) -> None:
        self.see(lambda: self.desk.tick(after, skew))

    @rule()
    def restart(self) -> None:
        before = self.desk.state
        self.desk.restart()
        after = self.desk.state
        assert after.sources == before.sources
        assert after.catalog == before.catalog
        assert after.results == before.results
        assert after.sweep == before.sweep
        assert after.exempt == before.exempt
        assert {
            key: (r.whole, r.finished, set(r.sources)) for key, r in after.requests.items()
        } == {key: (r.whole, r.finished, set(r.sources)) for key, r in before.requests.items()}

    def see(self, act: Callable[[], list[Output]]) -> Sequence[Output]:
        """Act, and check every transition of every source against the promises."""
        before = dict(self.desk.state.sources)
        said = act()
        for event in of(said, "expired"):
            self.expired[event["source"], event["epoch"]] += 1
        for event in of(said, "restored"):
            self.restored[event["source"], event["epoch"]] += 1
        for name, source in self.desk.state.sources.items():
            former = before.get(name)
            if former is not None and former != source:
                self.moved(former, source, said)
        shown = {one["source"]: (State(one["state"]), one["version"]) for one in of(said, "state")}
        for name, (_, version) in shown.items():
            assert version >= self.shown.get(name, (None, 0))[1]
        self.shown |= shown
        return said

    def moved(self, former: Source, source: Source, said: Sequence[Output]) -> None:
        assert source.version >= former.version
        assert source.epoch - former.epoch in (0, 1)
        if source.state is not former.state:
            assert source.version > former.version
        if source.state is State.EXPIRING and former.state in VISIBLE:
            # seen as it stands now: nothing that keeps it hot came with the same input
            assert former.state is State.STOPPED
            assert source.held is None
            assert not source.exempt_by
        if former.state in WORKING and source.state is not former.state:
            all_done = self.reported.get((source.source, former.version), set())
            turned_round = source.state in WORKING
            assert turned_round or len(all_done) == PARTITIONS
        if source.epoch > former.epoch:
            events = [one for one in of(said, "expired") if one["source"] == source.source]
            assert [one["epoch"] for one in events] == [source.epoch]
        if former.state is State.RESTORING and source.state in VISIBLE:
            events = [one for one in of(said, "restored") if one["source"] == source.source]
            assert former.work is not None
            undone = former.work.origin.why is Why.CANCELLED
            assert [one["epoch"] for one in events] == ([] if undone else [source.epoch])
        if former.state in HIDDEN and source.state in VISIBLE:
            assert former.state is State.RESTORING

    @invariant()
    def what_is_shown_is_what_is(self) -> None:
        for name, source in self.desk.state.sources.items():
            assert self.shown[name] == (source.state, source.version)
            assert source.shown().hidden is (source.state in HIDDEN)
            assert (source.work is not None) is (source.state in WORKING)
            assert (source.due_at is not None) is (source.state is State.STOPPED)

    @invariant()
    def visible_states_say_the_truth(self) -> None:
        for name, source in self.desk.state.sources.items():
            definition = self.desk.state.catalog.get(name)
            if source.state in VISIBLE and source.state is not State.UNKNOWN:
                active = definition is not None and not definition.status.stopped
                assert (source.state is State.ACTIVE) is active
                if not active:
                    assert (source.state is State.HELD) is (source.held is not None)
                    stopped = source.held is None and name not in self.desk.state.exempt
                    assert (source.state is State.STOPPED) is stopped

    @invariant()
    def one_event_for_each_fact(self) -> None:
        assert set(self.expired.values()) <= {1}
        assert set(self.restored.values()) <= {1}
        for name, source in self.desk.state.sources.items():
            epochs = [epoch for key, epoch in self.expired if key == name]
            assert sorted(epochs) == list(range(1, source.epoch + 1))

    @invariant()
    def open_requests_wait_for_work(self) -> None:
        for (request_id, name), told in self.desk.state.results.items():
            if told.outcome.final:
                continue
            work = self.desk.state.sources[name].work
            assert work is not None
            waiting = [work.origin.request_id, work.then_restore and work.then_restore.request_id]
            assert request_id in waiting


Lifecycle.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLifecycle = Lifecycle.TestCase
