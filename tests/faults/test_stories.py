"""One fault at a time, on real workers and brokers under load; the end is the same for all.

`make faults ROUNDS=N SEED=S` runs N rounds of each, with the seeds from S on. Without rounds, as in
CI, one runs once; `store_damaged` ends tests/faults/test_kills.py.
"""

from collections.abc import Iterator
from pathlib import Path

import aiokafka.admin
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from agents.tools.bench.field import free_port
from agents.tools.process import environment
from streams.kafka import topics as topic_admin
from streams.settings import Settings, load
from tests.rigs.faults import faults, shifted, topic_faults
from tests.rigs.faults.faults import BrokerFault, ProxyFault, ThreeFault
from tests.rigs.faults.proxy import Proxy
from tests.rigs.faults.story import Fault, Story, told
from tests.rigs.faults.three_brokers import Node, ThreeBrokers, one_broker, three_brokers

pytestmark = [pytest.mark.connected, pytest.mark.slow, pytest.mark.timeout(600)]

PARTITIONS = 4
#: What runs without rounds.
IN_CI = {"held_requests"}
WORKERS = (
    faults.killed,
    faults.stopped_past_the_session,
    faults.stopped_two_generations,
    faults.stalled_readers,
    faults.store_damaged,
    faults.inputs_truncated,
    topic_faults.flooded,
    topic_faults.topics_altered,
    topic_faults.topic_made_anew,
)
THREE = (faults.one_lost, faults.two_lost, faults.one_frozen)
PROXIED = (faults.held_requests, faults.cut_and_delayed, faults.coordinator_killed)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each round of each fault."""
    if "round_seed" in metafunc.fixturenames:
        first = metafunc.config.getoption("--seed")
        rounds = metafunc.config.getoption("--rounds") or 1
        metafunc.parametrize("round_seed", range(first, first + rounds))


@pytest.fixture
def wanted(request: pytest.FixtureRequest) -> None:
    """Skips what only `make faults` runs."""
    fault = request.node.callspec.params.get("fault")
    name = request.node.originalname if fault is None else fault.__name__
    if not request.config.getoption("--rounds") and name not in IN_CI:
        pytest.skip("only with --rounds")


def settings_for(servers: str, prefix: str, folder: Path, replicas: int = 1) -> Settings:
    flags = {
        "bootstrap_servers": servers,
        "prefix": prefix,
        "partitions": PARTITIONS,
        "replication_factor": replicas,
        "http_rate": 0,
        "data_dir": folder / "data",
    }
    return load(flags, env={}, file=folder / "none.toml")


@pytest.mark.parametrize("fault", WORKERS, ids=lambda fault: fault.__name__)
async def test_workers(
    wanted: None, fault: Fault, round_seed: int, settings: Settings, tmp_path: Path
) -> None:
    await topic_admin.create(settings)
    await told(settings, tmp_path, round_seed, fault)


@pytest.mark.parametrize("named", [False, True], ids=["dynamic", "static"])
async def test_rolling_restart(
    wanted: None, named: bool, round_seed: int, settings: Settings, tmp_path: Path
) -> None:
    """Four workers, without and with static membership."""
    await topic_admin.create(settings)
    await told(settings, tmp_path, round_seed, faults.rolling_restart, workers=4, named=named)


async def test_store_disk_full(
    wanted: None, round_seed: int, settings: Settings, tmp_path: Path
) -> None:
    await topic_admin.create(settings)
    try:
        with faults.small_disks([tmp_path / f"data-{number}" for number in range(2)]):
            await told(settings, tmp_path, round_seed, faults.store_disk_full)
    except PermissionError as error:
        pytest.skip(str(error))


async def test_clock_jumps(
    wanted: None, round_seed: int, settings: Settings, tmp_path: Path
) -> None:
    await topic_admin.create(settings)
    offset = tmp_path / "offset"
    offset.write_text("0")
    variables = shifted.variables(tmp_path / "site", offset, environment()["PYTHONPATH"])

    async def clock_jumps(story: Story) -> None:
        await faults.clock_jumps(story, offset)

    await told(settings, tmp_path, round_seed, clock_jumps, variables=variables)


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A broker that faults may act on."""
    with one_broker(tmp_path_factory.mktemp("one") / "broker") as node:
        yield node


@pytest.mark.parametrize(
    "fault", [faults.broker_killed, faults.broker_disk_full], ids=lambda fault: fault.__name__
)
async def test_the_only_broker(
    wanted: None,
    fault: BrokerFault,
    round_seed: int,
    prefix: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    node: Node = request.getfixturevalue("lone")
    settings = settings_for(node.address, prefix, tmp_path)
    await topic_admin.create(settings)

    async def acted(story: Story) -> None:
        await fault(story, node)

    acted.__name__ = fault.__name__
    await told(settings, tmp_path, round_seed, acted)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeBrokers]:
    with three_brokers(tmp_path_factory.mktemp("three")) as cluster:
        yield cluster


@pytest.mark.parametrize(
    "fault", [*THREE, faults.below_min_insync], ids=lambda fault: fault.__name__
)
async def test_three_brokers(
    wanted: None,
    fault: ThreeFault,
    round_seed: int,
    prefix: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    brokers: ThreeBrokers = request.getfixturevalue("three")
    settings = settings_for(brokers.servers, prefix, tmp_path, replicas=3)
    await topic_admin.create(settings)
    if fault is faults.below_min_insync:
        await all_in_sync(settings)

    async def acted(story: Story) -> None:
        await fault(story, brokers)

    acted.__name__ = fault.__name__
    await told(settings, tmp_path, round_seed, acted)


async def all_in_sync(settings: Settings) -> None:
    """From now on our topics take writes only while all three replicas are there."""
    client = aiokafka.admin.AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await client.start()
    try:
        names = [name for name in await client.list_topics() if name.startswith(settings.prefix)]
        # the request replaces all settings of a topic
        found = await topic_admin.configs(settings, names)
        strict = {name: {**found[name], "min.insync.replicas": "3"} for name in names}
        await client.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, *each) for each in strict.items()]
        )
    finally:
        await client.close()


@pytest.mark.parametrize("fault", PROXIED, ids=lambda fault: fault.__name__)
async def test_behind_a_proxy(
    wanted: None,
    fault: ProxyFault,
    round_seed: int,
    prefix: str,
    tmp_path: Path,
) -> None:
    proxy = Proxy(free_port())
    with one_broker(tmp_path / "broker", proxy.port) as node:
        proxy.upstream = node.port
        await proxy.start()
        try:
            settings = settings_for(node.address, prefix, tmp_path)
            await topic_admin.create(settings)

            async def acted(story: Story) -> None:
                await fault(story, proxy)

            acted.__name__ = fault.__name__
            await told(settings, tmp_path, round_seed, acted)
        finally:
            await proxy.close()
