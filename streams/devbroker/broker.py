"""A Kafka broker for the demo, for tests and for experiments.

It uses the first of these that is available: the broker named by KAFKA_BOOTSTRAP_SERVERS; a broker
that already runs with this folder; Apache Kafka as a child process, with jars that Maven downloads
once; Docker Compose.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from schemas.errors import Fatal, Recoverable
from streams.devbroker import jars as jars
from streams.devbroker.config import compose_file, free_ports, server_properties
from streams.devbroker.probe import await_answer, cluster_id
from streams.devbroker.process import BrokerProcess, is_alive

__all__ = ["LocalBroker"]

How = Literal["external", "reused", "java", "docker"]
_EXTERNAL_S = 15.0
_FORMAT_S = 60.0
_ATTEMPTS = 3


class LocalBroker:
    """A broker that runs inside a `with` or `async with` block; `bootstrap_servers` is its address.

    `folder` keeps the broker's data, log and address. `port` is used if it is free. With `keep` the
    broker continues after this process ends. `deadline_s` limits the start, without the time that
    Maven needs. `say` is called with one sentence before anything that takes long.

    Raises Recoverable if the named broker does not answer, and Fatal, naming what to install, if no
    broker can be started.
    """

    def __init__(
        self,
        folder: Path,
        *,
        port: int | None = None,
        keep: bool = False,
        heap: str = "1g",
        deadline_s: float = 60.0,
        env: Mapping[str, str] = os.environ,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.folder = folder.absolute()
        self.bootstrap_servers = ""
        self.how: How | None = None
        self.pid: int | None = None
        self._port = port
        self._keep = keep
        self._heap = heap
        self._deadline_s = deadline_s
        self._env = env
        self._say = say
        self._process: BrokerProcess | None = None
        self._in_docker = True

    @property
    def log(self) -> Path:
        """What the broker writes while it runs."""
        return self.folder / "broker.log"

    def start(self) -> None:
        """Start the broker and return when it answers. After `stop` or `kill`, it starts with its
        former data.
        """
        named = self._env.get("KAFKA_BOOTSTRAP_SERVERS")
        if named:
            if await_answer(named, _EXTERNAL_S) is None:
                raise Recoverable(
                    f"No Kafka broker answers at {named}, named by KAFKA_BOOTSTRAP_SERVERS",
                    remedy="Start it, or unset the variable to have one run here; a broker with "
                    "TLS or SASL cannot be used for this",
                )
            self.bootstrap_servers, self.how = named, "external"
            return
        # the folder above may be a worker's data folder, which is for its owner alone
        for folder in (self.folder.parent, self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with jars.locked(self.folder / "broker.lock"):
            if not self._reuse():
                self._run()

    def wait(self) -> int:
        """Wait until the broker ends by itself; return its exit code. The broker must be a child
        process.
        """
        if self._process is None:
            raise RuntimeError("no broker was started here")
        return self._process.wait()

    def stop(self) -> None:
        """End the broker if this object has started it; its data stays."""
        if self._process is not None:
            self._process.stop()
            self._forget()

    def kill(self) -> None:
        """End the broker as a crash would, if this object has started it; its data stays."""
        if self._process is not None:
            self._process.kill()
            self._forget()

    def _forget(self) -> None:
        self._process = self.pid = None
        self._record.unlink(missing_ok=True)

    @property
    def _record(self) -> Path:
        return self.folder / "broker.json"

    def _reuse(self) -> bool:
        try:
            record = json.loads(self._record.read_text())
            address, cluster, pid = record["bootstrap_servers"], record["cluster"], record["pid"]
        except (FileNotFoundError, ValueError, KeyError):
            return False  # none has run here, or its end came while it wrote
        # another program may have got the port or the process id since: ask for the cluster
        if not is_alive(pid) or cluster_id(address) != cluster:
            return False
        self.bootstrap_servers, self.how, self.pid = address, "reused", pid
        return True

    def _run(self) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            port, controller_port = free_ports(self._port)
            how, command = self._command(port, controller_port)
            self._process = BrokerProcess(command, self.log, keep=self._keep)
            address = f"127.0.0.1:{port}"
            cluster = await_answer(address, self._deadline_s, self._process.running)
            if cluster is not None:
                # started again after a stop: clients know this address
                self._port, self.pid, self.how = port, self._process.pid, how
                self.bootstrap_servers = address
                self._write(cluster)
                return
            self._process.stop()
            self._process = None
            # a free port can be taken by another program before the broker has it
            if attempt == _ATTEMPTS or "Address already in use" not in self._tail():
                break
        raise Fatal(
            f"Kafka did not come up within {self._deadline_s:.0f} s: {self._reason()}",
            remedy=f"See {self.log}; removing {self.folder} starts afresh",
        )

    def _write(self, cluster: str) -> None:
        record = {
            "bootstrap_servers": self.bootstrap_servers,
            "pid": self.pid,
            "cluster": cluster,
            "how": self.how,
        }
        scratch = self._record.with_suffix(".tmp")
        scratch.write_text(json.dumps(record))
        scratch.replace(self._record)

    def _command(self, port: int, controller_port: int) -> tuple[How, list[str]]:
        java, maven = jars.find_java(self._env), jars.find_maven(self._env)
        folder = jars.cached(self._env) if java else None
        if java and maven and folder is None:
            folder = jars.resolve(self._env, maven, self._say)
        if java and folder is not None:
            properties = self.folder / "server.properties"
            data = self.folder / "data"
            properties.write_text(self._properties(data, port, controller_port))
            run = [java, f"-Xmx{self._heap}", "-Xms128m", "-cp", f"{folder}/*"]
            run += ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
            if not (data / "meta.properties").exists():
                quick = [*run, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
                _format(quick, properties, self._format_options())
            return "java", [*run, "kafka.Kafka", str(properties)]
        docker = shutil.which("docker", path=self._env.get("PATH"))
        if self._in_docker and docker and _engine_runs(docker):
            compose = self.folder / "docker-compose.yml"
            compose.write_text(compose_file(port))
            project = f"emberline-{uuid.uuid5(uuid.NAMESPACE_URL, str(self.folder)).hex[:8]}"
            return "docker", [docker, "compose", "-f", str(compose), "-p", project, "up"]
        missing = [] if java else ["Java 17 or newer"]
        missing += [] if maven else ["Maven"]
        raise Fatal(
            f"There is no Kafka broker, and none can be run here without {' and '.join(missing)}",
            remedy="Install them (on Debian: apt-get install default-jre-headless maven), "
            "or start Docker, or set KAFKA_BOOTSTRAP_SERVERS to a broker that runs",
        )

    def _properties(self, data: Path, port: int, controller_port: int) -> str:
        return server_properties(data, port, controller_port)

    def _format_options(self) -> list[str]:
        return []

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    def _reason(self) -> str:
        lines = [line.strip() for line in self._tail().splitlines() if line.strip()]
        telling = [line for line in lines if "ERROR" in line or "Exception" in line]
        return (telling or lines or ["it wrote nothing"])[-1]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._keep and self._process is not None:
            self._process.leave()
        else:
            self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)


def _format(run: list[str], properties: Path, options: list[str]) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # with "=" between: an id may begin with a dash
    tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
    done = subprocess.run(
        [*run, *tool, *options, "--config", str(properties)],
        capture_output=True,
        text=True,
        timeout=_FORMAT_S,
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise Fatal(
            f"The broker's folder {properties.parent} could not be formatted: {lines[-1]}",
            remedy="Remove that folder and start again",
        )


def _engine_runs(docker: str) -> bool:
    ask = [[docker, "info"], [docker, "compose", "version"]]
    try:
        return all(
            subprocess.run(question, capture_output=True, timeout=20).returncode == 0
            for question in ask
        )
    except subprocess.TimeoutExpired:
        return False  # an engine that does not answer cannot run a broker
