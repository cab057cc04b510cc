"""The files around the program agree with each other."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.settings import names

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = ("requirements.lock", "requirements-bench.lock")


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
    assert (ROOT / services["worker"]["build"] / "Dockerfile").exists()


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


def test_the_image_copies_what_is_there() -> None:
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY"):
            assert all((ROOT / name).exists() for name in line.split()[1:-1]), line


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_and_hash_everything_and_name_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    blocks = re.split(r"\n(?=[a-z])", text.partition("\n\n")[0].split("\n", 1)[1])
    packages = [block for block in blocks if not block.startswith("#")]
    assert len(packages) > 40
    for package in packages:
        assert re.match(r"[a-z0-9.-]+==\S+( ; [^\\]+)? \\\n", package), package
        assert "--hash=sha256:" in package


def test_the_lock_holds_what_the_project_asks_for() -> None:
    text = (ROOT / LOCKS[0]).read_text()
    asked = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    for requirement in asked:
        name = re.split(r"[<>=]", requirement)[0].lower()
        assert re.search(rf"^{re.escape(name)}==", text, re.MULTILINE), name


def test_the_licence() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:300]
    assert PROJECT["license"] == "Apache-2.0"


def test_the_wheel_contains_all_packages_and_each_file_of_the_page(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    # a copy: the build writes beside what it builds
    for name in ("schemas", "streams", "agents"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(
        [*command, "--no-index", "--wheel-dir", str(tmp_path / "wheel"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheel").glob("emberline-*.whl")
    with zipfile.ZipFile(wheel) as opened:
        packed = {name: opened.read(name) for name in opened.namelist()}
    for file in (ROOT / "agents" / "web" / "page").rglob("*.*"):
        if "__pycache__" not in file.parts:
            assert packed.get(str(file.relative_to(ROOT))) == file.read_bytes(), file.name
    modules = {
        str(file.relative_to(ROOT))
        for name in ("schemas", "streams", "agents")
        for file in (ROOT / name).rglob("*.py")
    }
    assert modules <= set(packed)
