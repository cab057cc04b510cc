"""Java and Kafka's jars: found, downloaded once, never incomplete."""

import re
import stat
import threading
from pathlib import Path

import pytest

from schemas.errors import Fatal
from streams.devbroker.jars import (
    KAFKA_VERSION,
    POM,
    cached,
    find_java,
    find_maven,
    locked,
    resolve,
)

_MAVEN = """#!/bin/sh
echo run >> "$HOME/runs"
for word; do case $word in -DoutputDirectory=*) out=${word#*=};; esac; done
mkdir -p "$out" && touch "$out/kafka_2.13.jar"
"""
_BROKEN_MAVEN = "#!/bin/sh\necho '[ERROR] no way to the repository'\nexit 1\n"


def program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


def environment(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "PATH": f"{folder / 'bin'}:/usr/bin:/bin"}


def test_the_pom_pins_everything() -> None:
    text = POM.read_text()
    assert f"<version>{KAFKA_VERSION}</version>" in text
    assert len(re.findall(r"<artifactId>", text)) == len(re.findall(r"<version>[\d.]+<", text))


def test_jars_are_resolved_once_by_many_at_the_same_time(tmp_path: Path) -> None:
    env = environment(tmp_path)
    maven = str(program(tmp_path / "bin", "mvn", _MAVEN))
    assert find_maven(env) == maven
    assert cached(env) is None
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(resolve(env, maven, lambda _: None)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(found) == {cached(env)}
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_failed_resolution_leaves_nothing_behind(tmp_path: Path) -> None:
    env = environment(tmp_path)
    maven = str(program(tmp_path / "bin", "mvn", _BROKEN_MAVEN))
    with pytest.raises(Fatal, match="no way to the repository"):
        resolve(env, maven, lambda _: None)
    assert cached(env) is None


def test_the_cache_is_where_the_user_wants_it(tmp_path: Path) -> None:
    wanted = tmp_path / "elsewhere" / "emberline" / f"kafka-{KAFKA_VERSION}"
    wanted.mkdir(parents=True)
    assert cached({"XDG_CACHE_HOME": str(tmp_path / "elsewhere"), "HOME": "/none"}) == wanted


@pytest.mark.parametrize(("version", "usable"), [("17.0.1", True), ("21", True), ("11.0.2", False)])
def test_java_must_be_new_enough(tmp_path: Path, version: str, usable: bool) -> None:
    script = f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025' >&2\n"
    java = program(tmp_path / "home" / "bin", "java", script)
    env = {"JAVA_HOME": str(tmp_path / "home"), "PATH": "/none"}
    assert find_java(env) == (str(java) if usable else None)


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    inside: list[str] = []

    def other() -> None:
        with locked(tmp_path / "lock"):
            inside.append("second")

    with locked(tmp_path / "lock"):
        thread = threading.Thread(target=other)
        thread.start()
        inside.append("first")
    thread.join(30)
    assert inside == ["first", "second"]
