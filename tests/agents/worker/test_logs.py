import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import pytest

from agents.worker import logs
from streams.log_facts import HTTP_REQUEST, TRACE, facts


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


def test_facts_stand_behind_the_sentence_or_are_members_of_the_object(log: io.StringIO) -> None:
    logger = logging.getLogger("agents.shard")
    forms: tuple[Literal["text", "json"], ...] = ("text", "json")
    for form in forms:
        logs.configure(stream=log, form=form)
        more = facts(shard=3, step="changelog[3]@7", trace=None, request="", level="x")
        logger.info("shard %d is ready", 3, extra=more)
    text, line = log.getvalue().splitlines()
    assert text.endswith(" shard 3 is ready shard=3 step=changelog[3]@7 level=x")
    found = json.loads(line)
    assert datetime.fromisoformat(found.pop("time")).tzinfo is not None
    assert found == {
        "shard": 3,
        "step": "changelog[3]@7",
        "level": "info",
        "logger": "agents.shard",
        "message": "shard 3 is ready",
    }


def test_each_json_line_is_one_object_whatever_it_quotes(log: io.StringIO) -> None:
    logs.configure(stream=log, form="json")
    try:
        raise ValueError("bad \x9b2J\nline")
    except ValueError:
        logging.getLogger("agents").exception("source %s", 'a"\n\x1b[31m', extra=facts(of={1: b""}))
    (line,) = log.getvalue().splitlines()
    assert "\x1b" not in line
    assert "\x9b" not in line
    found = json.loads(line)
    assert found["message"] == r'source a"\n\x1b[31m'
    assert found["error"].splitlines()[0] == "Traceback (most recent call last):"


def test_a_line_of_the_access_log_is_an_object_in_it(log: io.StringIO) -> None:
    logs.configure(stream=log, form="json")
    logging.getLogger("emberline.access").info("%s", "{...}", extra=facts(access={"rows": 7}))
    found = json.loads(log.getvalue())
    assert (found["message"], found["access"]) == ("access", {"rows": 7})


async def test_lines_of_a_request_have_its_name_and_its_trace(log: io.StringIO) -> None:
    logs.configure(stream=log, form="json")
    logger = logging.getLogger("agents.web")

    async def request(name: str) -> None:
        HTTP_REQUEST.set(name)
        TRACE.set(f"trace of {name}")
        await asyncio.sleep(0)
        logger.info("1")
        logger.info("2", extra=facts(trace="its own"))

    await asyncio.gather(*(asyncio.create_task(request(name)) for name in ("a", "b")))
    logger.info("outside")
    found = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(one.get("http_request"), one.get("trace")) for one in found] == [
        ("a", "trace of a"),
        ("a", "its own"),
        ("b", "trace of b"),
        ("b", "its own"),
        (None, None),
    ]
