"""The programs of `examples/`, as the commands of their READMEs build and run them.

They are built once, in a copy below pytest's cache that is arranged like the root of the project. A
language whose toolchain or registry is missing has a reason instead, and its tests are skipped.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streams.devbroker import jars

__all__ = ["EXAMPLES", "LANGUAGES", "Missing", "Program", "build", "commands"]

EXAMPLES = Path(__file__).parents[2] / "examples"
LANGUAGES = ("python", "java", "go", "javascript")
BUILD_S = 240
"""An empty cache takes the longest: Go compiles its library and its clients."""
_LINES = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
_MADE = ("bin", "node_modules", "target", "__pycache__", "done.txt")
_WRONG = re.compile(
    "EINTEGRITY|checksum mismatch|SECURITY ERROR|COMPILATION ERROR|npm ci can only install|"
    "missing go.sum entry|updates to go.mod needed"
)
"""What says that the example is wrong, not that something is missing here."""

_FASTER = {
    # what the tests run once need not be fast; this compiles in two thirds of the time
    "GOFLAGS": "'-gcflags=all=-N -l'",
    "CGO_ENABLED": "0",
    # no toolchain is downloaded
    "GOTOOLCHAIN": "local",
    "MAVEN_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "npm_config_ignore_scripts": "true",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_fetch_retries": "1",
    "npm_config_fetch_timeout": "5000",
}


class Missing(Exception):
    """Why a language cannot be tried here."""


@dataclass(frozen=True)
class Program:
    """A command of a README without its arguments, and the folder in which it runs."""

    language: str
    command: Sequence[str]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def with_arguments(self, *arguments: str) -> list[str]:
        """The words of the whole command."""
        return [*self.command, *arguments]


def commands(language: str) -> tuple[list[str], dict[str, list[str]]]:
    """The words of the command that builds, and of those that run, by program, in lower case."""
    (block,) = _LINES.findall((EXAMPLES / language / "README.md").read_text())
    first, *lines = (shlex.split(line) for line in block.splitlines())
    found = {}
    for words in lines:
        name = re.compile(r"(?:bin/)?(producer|consumer|audience)(?:\.\w+)?", re.IGNORECASE)
        ((place, match),) = [(n, m) for n, word in enumerate(words) if (m := name.fullmatch(word))]
        found[match[1].lower()] = words[: place + 1]
    return first, found


def build(language: str, cache: Path, python: str) -> dict[str, Program]:
    """The programs of a language, ready to run; those of Python run with `python`.

    Raises Missing; and AssertionError, if the example itself is wrong.
    """
    _toolchain(language)
    folder = cache / "examples" / language
    command, programs = commands(language)
    with jars.locked(cache / f"{language}.lock"):
        _built(language, folder, command)
    with jars.locked(cache / "schemas.lock"):
        (cache / "schemas").unlink(missing_ok=True)
        (cache / "schemas").symlink_to(EXAMPLES.parent / "schemas")
    replaced = {"python": python} if language == "python" else {}
    return {
        name: Program(language, [replaced.get(word, word) for word in words], folder)
        for name, words in programs.items()
    }


def _toolchain(language: str) -> None:
    if language == "java" and not (_compiler() and jars.find_maven(os.environ)):
        raise Missing("javac 17 or Maven is missing: `apt-get install default-jdk-headless maven`")
    if language == "go" and shutil.which("go") is None:
        raise Missing("go is missing")
    if language == "javascript" and not (shutil.which("node") and shutil.which("npm")):
        raise Missing("node or npm is missing: `apt-get install nodejs npm` brings them")


def _compiler() -> bool:
    """Whether the Java that is found has a compiler: a JRE has none."""
    java = jars.find_java(os.environ)
    return java is not None and Path(java).resolve().with_name("javac").exists()


def _built(language: str, folder: Path, command: Sequence[str]) -> None:
    """Copy and build, unless that is done for these very files."""
    state = _state(EXAMPLES / language)
    stamp = folder.parent / f"{language}.built"
    if stamp.exists() and stamp.read_text() == state:
        return
    stamp.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(EXAMPLES / language, folder, ignore=shutil.ignore_patterns(*_MADE))
    # the packages of Python are those of the project, in the same versions: a test compares them
    if language != "python":
        _run(language, command, folder)
    stamp.write_text(state)


def _run(language: str, command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | _FASTER,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"`{shlex.join(command)}` of examples/{language}: {error}") from error
    if done.returncode == 0:
        return
    said = (done.stdout + done.stderr).strip()
    # without a registry there is no library, and the first lines say so
    fault = _WRONG.search(said) or (language == "go" and re.search(r"^# ", said, re.MULTILINE))
    assert not fault, said
    raise Missing(
        f"`{shlex.join(command)}` of examples/{language} fails: run the test once where its "
        f"registry is reached ({said[:500]})"
    )


def _state(folder: Path) -> str:
    """A hash of all files of an example."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not set(file.relative_to(folder).parts) & set(_MADE):
            found.update(f"{file.relative_to(folder)}\0".encode() + file.read_bytes() + b"\0")
    return found.hexdigest()
