"""A shard's phases change only by the drawn transitions."""

import pytest

from agents.shard.phase import IllegalTransition, ShardLife, ShardPhase

DRAWN = {
    (ShardPhase.STARTING, ShardPhase.RECOVERING),
    (ShardPhase.RECOVERING, ShardPhase.RUNNING),
    (ShardPhase.RECOVERING, ShardPhase.STOPPED),
    (ShardPhase.RUNNING, ShardPhase.STOPPED),
}


@pytest.mark.parametrize("before", ShardPhase)
@pytest.mark.parametrize("after", ShardPhase)
def test_a_transition_is_legal_where_it_is_drawn(before: ShardPhase, after: ShardPhase) -> None:
    life = ShardLife()
    life.phase = before
    if (before, after) in DRAWN:
        life.enter(after)
        assert life.phase is after
        return
    with pytest.raises(IllegalTransition, match=f"is {before} cannot become {after}"):
        life.enter(after)
    assert life.phase is before


def test_a_life_begins_before_the_takeover() -> None:
    assert ShardLife().phase is ShardPhase.STARTING
