"""Three brokers, each a separate process, as a cluster that must survive one of them.

Everything has three replicas and accepts writes while two of them are there. SIGSTOP freezes a
broker: like a broker without power, it keeps its connections and answers nothing.
"""

import base64
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streams.devbroker import jars as jars
from streams.devbroker.config import free_ports, server_properties
from streams.devbroker.probe import await_answer
from streams.devbroker.process import BrokerProcess

__all__ = ["Node", "ThreeBrokers", "one_broker", "three_brokers"]

_DEADLINE_S = 120.0
_REPLICATED = {
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
}


class Node:
    """One broker, which is a controller too."""

    def __init__(
        self, number: int, port: int, command: list[str], log: Path, advertised: int | None = None
    ) -> None:
        self.number = number
        self.port = port
        self.address = f"127.0.0.1:{advertised or port}"
        self.log = log
        self._command = command
        self._process = BrokerProcess(command, log)

    @property
    def pid(self) -> int:
        """Of its present process."""
        return self._process.pid

    def running(self) -> bool:
        """Whether its process runs."""
        return self._process.running()

    def kill(self) -> None:
        """End it as a crash would; its data stays."""
        self._process.kill()

    def start(self) -> None:
        """Start it again, with its data and its address. Does not wait until it answers."""
        self._process = BrokerProcess(self._command, self.log)

    def await_answer(self) -> None:
        """Wait until it answers. Raises AssertionError."""
        found = await_answer(f"127.0.0.1:{self.port}", _DEADLINE_S, self.running)
        assert found is not None, self.log.read_text(errors="replace")[-4000:]

    def freeze(self) -> None:
        """From now on it answers nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue the frozen broker."""
        os.kill(self._process.pid, signal.SIGCONT)

    def end(self) -> None:
        """For good."""
        if self._process.running():
            self.thaw()
            self._process.kill()


class ThreeBrokers:
    """The cluster; `servers` names all three."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.servers = ",".join(node.address for node in nodes)


@contextmanager
def one_broker(folder: Path, advertised: int | None = None) -> Iterator[Node]:
    """One running broker inside the block, which sends its clients to the port `advertised`."""
    port, controller_port = free_ports()
    changed = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{advertised or port}"}
    node = _node(1, folder, (port, controller_port), changed, _cluster(), advertised)
    try:
        node.await_answer()
        yield node
    finally:
        node.end()


@contextmanager
def three_brokers(folder: Path) -> Iterator[ThreeBrokers]:
    """Three running brokers inside the block. Needs Java, and the jars of the local broker."""
    ports = [free_ports() for _ in range(3)]
    voters = ",".join(f"{n}@127.0.0.1:{ports[n - 1][1]}" for n in (1, 2, 3))
    cluster = _cluster()
    with ExitStack() as ended:
        nodes = []
        for number, pair in enumerate(ports, start=1):
            home = folder / f"node-{number}"
            changed = {"node.id": str(number), "controller.quorum.voters": voters} | _REPLICATED
            node = _node(number, home, pair, changed, cluster)
            ended.callback(node.end)
            nodes.append(node)
        for node in nodes:
            node.await_answer()
        yield ThreeBrokers(nodes)


def _cluster() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


def _node(
    number: int,
    home: Path,
    ports: tuple[int, int],
    changed: Mapping[str, str],
    cluster: str,
    advertised: int | None = None,
) -> Node:
    """A broker that was formatted and started."""
    port, controller_port = ports
    java, run = _runner()
    home.mkdir(parents=True)
    properties = home / "server.properties"
    lines = server_properties(home / "data", port, controller_port).splitlines()
    kept = [line for line in lines if line.split("=")[0] not in changed]
    added = [f"{name}={value}" for name, value in changed.items()]
    properties.write_text("\n".join(kept + added) + "\n")
    tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
    quick = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    subprocess.run(
        [java, *run, *quick, *tool, "--config", str(properties)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    command = [java, *run, "kafka.Kafka", str(properties)]
    return Node(number, port, command, home / "broker.log", advertised)


def _runner() -> tuple[str, list[str]]:
    java, maven = jars.find_java(os.environ), jars.find_maven(os.environ)
    assert java is not None, "no Java"
    folder = jars.cached(os.environ)
    if folder is None:
        assert maven is not None, "no Maven"
        folder = jars.resolve(os.environ, maven, print)
    run = ["-Xmx320m", "-Xms128m", "-cp", f"{folder}/*"]
    return java, [*run, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
