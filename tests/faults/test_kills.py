"""Workers killed at random times, and at the end local stores damaged: nothing lost, no event
twice, never half a source.
"""

import os
from pathlib import Path

import pytest

from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.faults.faults import store_damaged
from tests.rigs.faults.story import Story, told

KILLS = int(os.environ.get("EMBERLINE_FAULT_KILLS", "30"))
SEED = int(os.environ.get("EMBERLINE_FAULT_SEED", "7"))
GAP_S = (0.3, 9.0)
"""Between two kills: from within a start to long enough for a rebalance and some work."""


async def kills(story: Story) -> None:
    """Workers are killed again and again, and started again at once; then their stores suffer."""
    for _ in range(KILLS):
        await story.pause(*GAP_S)
        victim = story.rng.choice(story.cluster.slots)
        victim.kill()
        victim.start()
        story.did["killed"] += 1
    await store_damaged(story)


@pytest.mark.connected
@pytest.mark.slow
@pytest.mark.timeout(600 + 15 * KILLS)
async def test_killed_workers_lose_nothing_and_repeat_no_event(
    settings: Settings, topics: Topics, tmp_path: Path
) -> None:
    story = await told(settings, tmp_path, SEED, kills)
    assert story.did["killed"] == KILLS
    assert story.did["expired"], "no source expired: the test has tested nothing"
    assert story.did["restored"], "no source was restored: the test has tested nothing"
