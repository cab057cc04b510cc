"""The local broker: up, down, restarted, reused, ended with its parent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemas.errors import Fatal, Recoverable
from streams.devbroker.broker import LocalBroker
from streams.devbroker.probe import cluster_id
from streams.devbroker.process import is_alive

pytestmark = pytest.mark.connected

_PARENT = """
import sys, time
from pathlib import Path
from streams.devbroker.broker import LocalBroker
with LocalBroker(Path(sys.argv[1])) as broker:
    print(broker.bootstrap_servers, broker.pid, flush=True)
    time.sleep(300)
"""


def own_env(**changes: str) -> dict[str, str]:
    env = {name: text for name, text in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    return env | changes


def gone(pid: int, deadline_s: float = 30) -> bool:
    end = time.monotonic() + deadline_s
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.05)  # nobody tells about the end of a grandchild
    return not is_alive(pid)


@pytest.mark.slow
async def test_one_broker_through_its_life(tmp_path: Path) -> None:
    async with LocalBroker(tmp_path, env=own_env()) as broker:
        cluster, address, first = cluster_id(broker.bootstrap_servers), broker.bootstrap_servers, 0
        assert cluster
        assert broker.how == "java"
        first = broker.pid or 0

        with LocalBroker(tmp_path, env=own_env()) as second:
            assert (second.how, second.bootstrap_servers) == ("reused", address)
        assert cluster_id(address) == cluster, "who reuses a broker must not stop it"

        broker.kill()
        assert await asyncio.to_thread(gone, first)
        assert cluster_id(address) is None
        await asyncio.to_thread(broker.start)
        assert broker.bootstrap_servers == address, "clients come back to the same address"
        assert cluster_id(address) == cluster, "the data is still there"
        last = broker.pid or 0
    assert await asyncio.to_thread(gone, last)
    assert not (tmp_path / "broker.json").exists()


@pytest.mark.slow
def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(tmp_path)], stdout=subprocess.PIPE, env=own_env()
    )
    assert parent.stdout is not None
    with parent.stdout as said:
        address, pid = said.readline().split()
        assert cluster_id(address.decode())
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
        assert gone(int(pid))


def test_a_named_broker_is_used_and_left_alone(broker: str, tmp_path: Path) -> None:
    with LocalBroker(tmp_path / "unused", env={"KAFKA_BOOTSTRAP_SERVERS": broker}) as local:
        assert (local.how, local.bootstrap_servers) == ("external", broker)
        assert not local.folder.exists()
    assert cluster_id(broker)


def test_a_named_broker_that_is_away_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.devbroker.broker._EXTERNAL_S", 0.2)
    with pytest.raises(Recoverable, match=r"127\.0\.0\.1:1,"):
        LocalBroker(tmp_path, env={"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}).start()


def test_without_java_and_docker_it_says_what_to_install(tmp_path: Path) -> None:
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(Fatal, match="Java 17 or newer and Maven") as caught:
        LocalBroker(tmp_path, env=bare).start()
    assert "default-jre-headless maven" in caught.value.remedy


def test_without_java_a_container_is_tried(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text(
        "#!/bin/sh\n[ $# -gt 2 ] && echo ERROR: no such image >&2 && exit 1\nexit 0\n"
    )
    docker.chmod(0o755)
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(Fatal, match=r"did not come up .* no such image"):
        LocalBroker(tmp_path / "broker", env=bare).start()
    assert "apache/kafka:4.3.1" in (tmp_path / "broker" / "docker-compose.yml").read_text()


def test_a_stale_record_is_not_believed(broker: str, tmp_path: Path) -> None:
    record = {"bootstrap_servers": broker, "pid": os.getpid(), "cluster": "another", "how": "java"}
    (tmp_path / "broker.json").write_text(json.dumps(record))
    with pytest.raises(Fatal, match="none can be run"):
        LocalBroker(tmp_path, env={"PATH": str(tmp_path)}).start()


def test_the_probe_gives_up_in_time() -> None:
    start = time.monotonic()
    assert cluster_id("127.0.0.1:1", timeout_s=0.5) is None
    assert time.monotonic() - start < 5


def test_its_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    bare = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(Fatal):
        LocalBroker(tmp_path / "data" / "broker", env=bare).start()
    for folder in (tmp_path / "data", tmp_path / "data" / "broker"):
        assert folder.stat().st_mode & 0o077 == 0, "it may be a worker's data folder"
