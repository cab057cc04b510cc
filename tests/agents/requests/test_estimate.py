"""What a dry run says of the work, and of how long it may take."""

from agents.coordinator.rules.state import Request, RequestResult
from agents.requests.estimate import Amount, effect_facts, measured
from agents.views.request_view import RequestView
from schemas.records.lifecycle import Outcome, SourceState, State
from tests.rigs.dummies import States

A, B, C = "campaign:a", "campaign:b", "canvas:c"
STATES = States(
    SourceState(A, State.STOPPED, 1, interactions=10, bytes=1_000),
    SourceState(B, State.STOPPED, 1, interactions=20, bytes=4_000),
    SourceState(C, State.STOPPED, 1, interactions=5, bytes=0),
)


class Log(RequestView):
    """Requests as a test wants them."""

    def add(self, name: str, time: int, ends: dict[str, int], **facts: object) -> None:
        whole = RequestResult(Outcome.COMPLETED, None, "", total=len(ends))
        found = {"type": "restore", "whole": whole, **facts}
        self._put(name, Request(request_id=name, time=time, **found))  # type: ignore[arg-type]
        for source, end in ends.items():
            self._put_part(name, source, RequestResult(Outcome.COMPLETED, None, "", time=end))


def test_the_largest_of_the_last_restores_is_the_measure_and_the_shortest_the_least() -> None:
    view = Log()
    view.add("small", 1_000, {A: 1_500})
    view.add("large", 10_000, {A: 11_000, B: 12_000})
    found = measured("restore", view, STATES)
    assert found is not None
    largest, shortest = found
    assert (largest.request_id, largest.bytes, largest.seconds) == ("large", 5_000, 2.0)
    assert shortest == 0.5
    facts = effect_facts(3, Amount(90, 50_000), found)
    assert facts["seconds"] == 20.0
    assert facts["measured"]["request_id"] == "large"
    assert effect_facts(1, Amount(1, 10), found)["seconds"] == 0.5
    assert effect_facts(0, Amount(0, 0), found)["seconds"] is None


def test_without_a_measure_there_is_no_time() -> None:
    view = Log()
    view.add("dry", 1_000, {A: 1_500}, dry_run=True)
    view.add("other", 2_000, {A: 2_500}, type="expire")
    view.add("empty", 3_000, {C: 3_500})
    view.add("at once", 4_000, {A: 4_000})
    view.add("running", 5_000, {A: 5_500}, whole=None)
    assert measured("restore", view, STATES) is None
    assert measured("hold", view, STATES) is None
    facts = effect_facts(2, Amount(30, 5_000), None)
    assert (facts["sources"], facts["seconds"], facts["measured"]) == (2, None, None)
