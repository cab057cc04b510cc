"""Ingest is catching up if many records can be read now."""

import pytest

from agents.shard.ingest import catching_up
from streams.kafka.log import Partition

EVENTS: Partition = ("interactions.send", 0)
OPENS: Partition = ("interactions.open", 0)


@pytest.mark.parametrize(
    ("came", "lag", "held_back", "expected"),
    [
        pytest.param(8_000, {EVENTS: 250_000, OPENS: 0}, {}, True, id="a-small-first-fetch"),
        pytest.param(10_000, {EVENTS: 0}, {}, True, id="the-last-fetch-of-many"),
        pytest.param(300, {EVENTS: 150, OPENS: 1}, {}, False, id="a-steady-rate"),
        pytest.param(300, {EVENTS: 90_000}, {EVENTS: 89_900}, False, id="an-open-transaction"),
    ],
)
def test_catching_up_is_told_by_the_records_that_can_be_read_now(
    came: int, lag: dict[Partition, int], held_back: dict[Partition, int], expected: bool
) -> None:
    assert catching_up(came, lag, held_back) is expected
