"""Fixtures for every test: one broker for the session, unique topic prefixes, settings, topics.

Every asynchronous test runs in its own event loop (pytest-asyncio's default, function scope), so
objects that belong to a loop are made by the test or by a function-scoped fixture. The broker is a
process and `broker` only its address: it lives for the session and belongs to no loop.
"""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from streams.devbroker.broker import LocalBroker
from streams.kafka import topics as topic_admin
from streams.kafka.topics import Topics
from streams.settings import Settings, load
from tests.rigs import lanes
from tests.rigs.certificates import authority
from tests.rigs.secured import secured

__all__ = ["authority", "secured"]

# how long an example takes says more about the machine's other work than about the code;
# what hangs meets pytest's own timeout
hypothesis.settings.register_profile(
    "emberline",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    print_blob=True,
)
hypothesis.settings.load_profile("emberline")

# brokers of tests do little and live shortly: to compile for speed costs them more than it gives
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many hostile inputs tests/hostile makes, and for how long it fuzzes each reader; how many
    rounds tests/faults has of each fault (0: one, of a few), and the first seed of either."""
    parser.addoption("--hostile", type=int, default=100_000, metavar="N")
    parser.addoption("--rounds", type=int, default=0, metavar="N")
    parser.addoption("--seed", type=int, default=1, metavar="N")
    parser.addoption("--fuzz-seconds", type=float, default=0.0, metavar="S")
    parser.addoption("--share", type=Path, metavar="FOLDER", help="see tests/rigs/lanes.py")
    parser.addoption("--from-back", action="store_true")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run only what another run with the same `--share` has not taken; `make test` does."""
    folder: Path | None = session.config.getoption("--share")
    if folder is None or session.testsfailed or session.config.option.collectonly:
        return None
    lanes.run(session, lanes.Lane(folder, from_back=session.config.getoption("--from-back")))
    return True


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a real broker: KAFKA_BOOTSTRAP_SERVERS, or one of our own."""
    # a generous deadline: the machine may be busy with other things
    with LocalBroker(tmp_path_factory.mktemp("broker"), deadline_s=240) as local:
        yield local.bootstrap_servers


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test uses; ends in a dot."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture
def settings(broker: str, prefix: str, tmp_path: Path) -> Settings:
    """Settings for the broker, four shards, a fresh data folder; nothing from outside."""
    flags = {
        "bootstrap_servers": broker,
        "prefix": prefix,
        "partitions": 4,
        "http_port": 0,
        "data_dir": tmp_path / "data",
    }
    return load(flags, env={}, file=tmp_path / "none.toml")


@pytest.fixture
async def topics(settings: Settings) -> Topics:
    """All topics of `settings`, made on the broker."""
    await topic_admin.create(settings)
    return Topics(settings.prefix)
