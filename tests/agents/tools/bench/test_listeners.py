"""The ages of states, read from a stream that is cut anywhere."""

import json

import pytest

from agents.tools.bench.listeners import Ages


def event(name: str, *states: tuple[str, int]) -> bytes:
    sources = [{"source": source, "updated_at": updated} for source, updated in states]
    return f"event: {name}\nid: 1-1\ndata: {json.dumps({'sources': sources})}\n\n".encode()


@pytest.mark.parametrize("cut", [1, 7, 1_000])
def test_a_state_has_the_age_at_which_its_event_is_whole(cut: int) -> None:
    ages, stream = Ages(), b"retry: 2000\n\n" + event("hello") + event("change", ("a", 500))
    for start in range(0, len(stream), cut):
        ages.take(stream[start : start + cut], 1_500)
    assert ages.greeted
    assert ages.seconds == [1.0]


def test_a_source_that_comes_again_without_a_new_state_has_no_age() -> None:
    ages = Ages()
    ages.take(event("change", ("a", 500), ("b", 700)), 1_000)
    ages.take(event("change", ("a", 500), ("b", 1_200)), 9_200)
    assert ages.seconds == [0.5, 0.3, 8.0]


def test_comments_and_an_end_have_no_states() -> None:
    ages = Ages()
    ages.take(b": the connection lives\n\n", 1)
    ages.take(b'event: dropped\ndata: {"reason": "slow"}\n\n', 1)
    assert ages.seconds == []
