import io
import logging
from collections.abc import Iterator

import pytest

from agents.worker import logs


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def test_the_harmless_line_is_dropped_and_a_flood_is_thinned(log: io.StringIO) -> None:
    logs.configure(stream=log)
    library = logging.getLogger("aiokafka.producer.sender")
    library.warning("Got error produce response: %s", "[Error 19] NotEnoughReplicasError")
    library.warning("Got error produce response: %s", "[Error 7] RequestTimedOutError")
    for _ in range(100):
        library.error("Unable connect to node with id %s", 1)
    for _ in range(3):
        logging.getLogger("agents.supervision.shard_manager").info("generation %d", 1)
    lines = [line.split(None, 3)[3] for line in log.getvalue().splitlines()]
    assert lines == [
        "Got error produce response: [Error 7] RequestTimedOutError",
        "Unable connect to node with id 1",
        *["generation 1"] * 3,
    ]


def test_verbose_logs_everything(log: io.StringIO) -> None:
    logs.configure(verbose=True, stream=log)
    library = logging.getLogger("aiokafka.producer.sender")
    for _ in range(3):
        library.warning("[Error 19] NotEnoughReplicasError")
    assert len(log.getvalue().splitlines()) == 3


def test_what_is_quoted_begins_no_line_and_acts_on_no_terminal(log: io.StringIO) -> None:
    logs.configure(stream=log)
    try:
        raise ValueError("bad \x9b2J")
    except ValueError:
        logging.getLogger("agents").exception("source %s", "a\n2026 ERROR forged \x1b[31m")
    first, *trace = log.getvalue().splitlines()
    assert first.endswith(r"source a\n2026 ERROR forged \x1b[31m")
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == r"ValueError: bad \x9b2J"
