"""When the state that a shard has applied and the state in its view agree."""

import pytest

from agents.shard.agreement import disagreement
from agents.views.state_view import StateView
from schemas.records import codec
from schemas.records.lifecycle import HIDDEN, VISIBLE, SourceState, State
from streams.state.hot_table import Applied

NAME = "campaign:a"


def told(state: State, version: int, epoch: int = 0) -> SourceState:
    return SourceState(source=NAME, state=state, version=version, epoch=epoch)


def view_of(*records: SourceState) -> StateView:
    view = StateView()
    for record in records:
        view.apply(record.source.encode(), codec.encode("state", record.to_record()))
    return view


def agrees(view: StateView, done: Applied | None) -> bool:
    return disagreement(NAME, view.get(NAME), view.worked(NAME), done) is None


LIFE = (
    told(State.ACTIVE, 1),
    told(State.EXPIRING, 2),
    told(State.EXPIRED, 3, 1),
    told(State.RESTORING, 4, 1),
    told(State.STOPPED, 5, 1),
)


@pytest.mark.parametrize("read", [LIFE, LIFE[-1:]], ids=["whole", "compacted"])
def test_a_shard_that_never_brought_a_source_back_does_not_answer_for_it(
    read: tuple[SourceState, ...],
) -> None:
    view = view_of(*read)
    assert agrees(view, Applied(4, "RESTORING"))
    assert not agrees(view, Applied(2, "EXPIRING")), "a lower version, and another state"
    assert not agrees(view, None), "from before it expired"
    assert not agrees(view, Applied(6, "EXPIRING")), "of what is not read yet"


def test_a_restore_of_an_earlier_time_is_not_this_one() -> None:
    again = (told(State.EXPIRING, 6, 1), told(State.RESTORING, 8, 2), told(State.HELD, 9, 2))
    view = view_of(*LIFE, *again)
    assert not agrees(view, Applied(4, "RESTORING"))
    assert agrees(view, Applied(8, "RESTORING"))


@pytest.mark.parametrize("state", sorted(VISIBLE))
def test_a_source_that_never_expired_needs_nothing_applied(state: State) -> None:
    assert agrees(view_of(told(state, 3)), None)


@pytest.mark.parametrize("state", sorted(HIDDEN))
def test_of_a_hidden_source_only_what_is_newer_disagrees(state: State) -> None:
    view = view_of(told(state, 7, 2))
    for done in (None, Applied(7, "EXPIRING"), Applied(5, "RESTORING")):
        assert agrees(view, done)
    assert not agrees(view, Applied(8, "EXPIRING"))


def test_the_view_knows_what_has_been_brought_back() -> None:
    view = view_of(*LIFE[:4])
    assert view.brought_back() == frozenset()
    assert view.worked(NAME) == 4
    view.apply(NAME.encode(), codec.encode("state", LIFE[4].to_record()))
    assert view.brought_back() == {NAME}
    assert view.worked(NAME) == 4
    view.apply(NAME.encode(), None)
    assert view.brought_back() == frozenset()
    assert view.worked(NAME) == 0
