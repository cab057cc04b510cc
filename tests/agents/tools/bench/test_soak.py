"""The long load: its events, its measure of growth, and one short run of it."""

from itertools import islice
from statistics import median

import pytest

from agents.tools.bench import soak as soaking
from agents.tools.bench.endless import endless
from agents.tools.bench.field import Ground
from agents.tools.bench.soak import SoakOptions, growth, soak
from schemas.errors import Fatal


def test_the_first_third_is_the_warm_up() -> None:
    assert growth([900, 900, 10, 20, 15, 30]) == median([15, 30]) / median([10, 20])
    assert growth([0, 4, 8, 2, 6, 5, 1, 1, 9], max) == 9 / 6


def test_too_few_values_tell_nothing() -> None:
    with pytest.raises(Fatal, match="2 values"):
        growth([1, 2])


def test_a_pool_comes_again_as_new_events_of_the_same_users() -> None:
    chunks = list(islice(endless(200, 3, 100), 24))
    ids = [one for chunk in chunks for one in chunk.columns["id"]]
    assert len(set(ids)) == len(ids) > 400
    by_round = [chunks[:8], chunks[8:16], chunks[16:]]
    users = [[user for chunk in turn for user in chunk.users] for turn in by_round]
    assert users[0] == users[1] == users[2]
    times = [min(time for chunk in turn for time in chunk.columns["time"]) for turn in by_round]
    assert times == [times[0], times[0] + 600, times[0] + 1_200]


@pytest.mark.connected
@pytest.mark.slow
async def test_a_short_soak_moves_erases_asks_and_verifies(
    broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soaking, "SAMPLE_S", 0.5)
    options = SoakOptions(minutes=0.2, rate=500, sources=4, pool=5_000, moved=600)
    report = await soak(Ground(broker), options, lambda sentence: None)
    found = {"load", "audience", "produce_to_readable", "expire", "restore", "erase"}
    assert report.results.keys() == found
    assert report.kept["verify finds everything whole"]
    assert report.ratios.keys() == {"memory", "disk", "audience_p95", "readable_p95"}
