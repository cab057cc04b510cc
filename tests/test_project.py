"""The files around the program agree with each other."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.settings import names

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = ("requirements.lock", "requirements-bench.lock", "requirements-run.lock")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_compose_starts_kafka_then_topics_then_a_worker(compose: Any) -> None:
    services = compose["services"]
    assert list(services) == ["kafka", "topics", "keys", "worker"]
    assert services["kafka"]["image"] == "apache/kafka:4.3.1"
    assert services["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    done = {"condition": "service_completed_successfully"}
    assert services["worker"]["depends_on"] == {"topics": done, "keys": done}
    assert services["topics"]["command"] == "topics create"
    assert services["worker"]["command"] == "worker"
    assert (ROOT / services["worker"]["build"]["context"] / "Dockerfile").exists()


def test_compose_speaks_of_settings_and_volumes_that_exist(compose: Any) -> None:
    known = {f"EMBERLINE_{name.upper()}" for name in names()} | {"KAFKA_BOOTSTRAP_SERVERS"}
    for service in ("topics", "keys", "worker"):
        assert set(compose["services"][service]["environment"]) <= known
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in compose["volumes"]


def test_compose_is_not_open_to_the_network(compose: Any) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_compose_gives_the_worker_the_keys_that_it_needs(compose: Any) -> None:
    keys, worker = compose["services"]["keys"], compose["services"]["worker"]
    assert keys["command"].startswith("keys add ")
    file = worker["environment"]["EMBERLINE_KEYS_FILE"]
    assert keys["environment"]["EMBERLINE_KEYS_FILE"] == file
    assert keys["volumes"] == worker["volumes"]
    # the log of a container is kept, and read by others
    assert " --out /data/" in keys["command"]


def test_the_image_copies_what_is_there() -> None:
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line:
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_and_hash_everything_and_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    blocks = re.split(r"\n(?=[a-z])", text.partition("\n\n")[0].split("\n", 1)[1])
    packages = [block for block in blocks if not block.startswith("#")]
    assert len(packages) >= 40
    for package in packages:
        assert re.match(r"[a-z0-9.-]+==\S+( ; [^\\]+)? \\\n", package), package
        assert "--hash=sha256:" in package


def test_the_lock_holds_what_the_project_asks_for() -> None:
    text = (ROOT / LOCKS[0]).read_text()
    asked = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    for requirement in asked:
        # as package indexes write a name
        name = re.sub(r"[-_.]+", "-", re.split(r"[<>=]", requirement)[0]).lower()
        assert re.search(rf"^{re.escape(name)}==", text, re.MULTILINE), name


def test_the_licence() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:300]
    assert PROJECT["license"] == "Apache-2.0"
