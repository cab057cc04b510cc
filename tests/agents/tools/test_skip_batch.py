"""The positions that `topics skip --at` accepts."""

import pytest

from agents.tools.skip_batch import At, parse_at
from schemas.errors import UsageError
from streams.settings import Settings

SETTINGS = Settings(prefix="e.", partitions=4)


@pytest.mark.parametrize("name", ["e.interactions.send", "interactions.send"])
def test_a_place_is_named_with_or_without_the_prefix(name: str) -> None:
    assert parse_at(SETTINGS, f"{name}:3:17") == At("e.interactions.send", 3, 17)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interactions.send", "TOPIC:PARTITION:OFFSET"),
        ("interactions.send:1", "TOPIC:PARTITION:OFFSET"),
        ("interactions.send:1:-4", "TOPIC:PARTITION:OFFSET"),
        ("interactions.send:x:4", "TOPIC:PARTITION:OFFSET"),
        (":1:4", "TOPIC:PARTITION:OFFSET"),
        ("interactions.send:4:0", "has 4 partitions"),
        ("control:1:0", "has 1 partitions"),
        ("changelog:0:0", "cannot be skipped"),
        ("catalog:0:0", "cannot be skipped"),
        ("elsewhere:0:0", "cannot be skipped"),
    ],
)
def test_what_is_no_place_of_an_input_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_at(SETTINGS, text)
