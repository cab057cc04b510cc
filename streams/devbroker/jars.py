"""The programs of a local broker: Java, and Kafka's jars, which Maven downloads."""

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import Fatal

__all__ = ["KAFKA_VERSION", "POM", "cached", "find_java", "find_maven", "locked", "resolve"]

KAFKA_VERSION = "4.3.1"
POM = Path(__file__).parent / "pom.xml"
_JAVA_AT_LEAST = 17
_MAVEN_DEADLINE_S = 600


def find_java(env: Mapping[str, str]) -> str | None:
    """Path of a Java 17 or newer (JAVA_HOME first, then PATH), or None."""
    home = env.get("JAVA_HOME")
    candidates = [str(Path(home) / "bin" / "java")] if home else []
    candidates += filter(None, [shutil.which("java", path=env.get("PATH"))])
    return next((java for java in candidates if _version(java) >= _JAVA_AT_LEAST), None)


def _version(java: str) -> int:
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return 0  # not a Java that can be used, the next candidate may be
    found = re.search(r'version "(\d+)', done.stderr)
    return int(found[1]) if found else 0


def find_maven(env: Mapping[str, str]) -> str | None:
    """Path of Maven, or None."""
    return shutil.which("mvn", path=env.get("PATH"))


def cached(env: Mapping[str, str]) -> Path | None:
    """Folder of the jars if they have been resolved before."""
    folder = _folder(env)
    return folder if folder.is_dir() else None


def _folder(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_CACHE_HOME")
    cache = Path(base) if base else Path(env.get("HOME") or Path.home()) / ".cache"
    return cache / "emberline" / f"kafka-{KAFKA_VERSION}"


def resolve(env: Mapping[str, str], maven: str, say: Callable[[str], None]) -> Path:
    """Folder of Kafka's jars. Maven downloads them the first time; if the folder exists, it is
    complete.

    Raises Fatal, with Maven's error text, if Maven fails.
    """
    folder = _folder(env)
    with locked(folder.with_suffix(".lock")):
        if folder.is_dir():
            return folder
        say(f"Maven resolves Apache Kafka {KAFKA_VERSION} into {folder}, once")
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            jars = Path(scratch) / "jars"
            _maven(maven, env, jars)
            # by rename: a folder with half of the jars must never be taken for all of them
            jars.rename(folder)
    return folder


def _maven(maven: str, env: Mapping[str, str], into: Path) -> None:
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={into}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(
            [maven, "-q", "-B", "-f", str(POM), *goal],
            capture_output=True,
            text=True,
            timeout=_MAVEN_DEADLINE_S,
            env=dict(env),
        )
        output, failed = done.stdout + done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired:
        output, failed = f"no end after {_MAVEN_DEADLINE_S} s", True
    if failed or not any(into.glob("kafka_*.jar")):
        lines = [line for line in output.splitlines() if line.strip()] or ["no output"]
        raise Fatal(
            f"Maven could not resolve Apache Kafka {KAFKA_VERSION}: {lines[0].strip()}",
            remedy="Check that Maven reaches its repository, "
            "or set KAFKA_BOOTSTRAP_SERVERS to a broker that runs",
        )


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock between processes, for as long as the block runs; waits for it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
