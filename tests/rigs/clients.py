"""Clients of the platform's API, each installed in a folder of its own from a lock of its own.

They stay out of `requirements.lock`: two of them are packages of one name, and none is needed to
build or run emberline. Without their registry, and without node, the tests are skipped.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

__all__ = ["CLIENTS", "installed_node", "installed_python"]

CLIENTS = Path(__file__).parents[1] / "clients"
INSTALL_S = 60


def installed_python(name: str, cache: Path) -> Path:
    """The Python of a virtual environment with the packages of `tests/clients/NAME.lock`."""
    lock = CLIENTS / f"{name}.lock"
    python = cache / "venv" / "bin" / "python"

    def install() -> None:
        _run([sys.executable, "-m", "venv", "--without-pip", cache / "venv"], cache)
        pip: list[str | Path] = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "--disable-pip-version-check",
        ]
        options = ["--quiet", "--no-deps", "--require-hashes", "--retries", "1", "--timeout", "5"]
        _run([*pip, "install", *options, "-r", lock], cache)

    _once(lock, cache, install)
    return python


def installed_node(cache: Path) -> tuple[Path, Path]:
    """The program node, and a folder with the packages of `tests/clients/package-lock.json`."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node or npm is missing: `apt-get install nodejs npm` brings them")
    lock = CLIENTS / "package-lock.json"

    def install() -> None:
        for file in (CLIENTS / "package.json", lock):
            shutil.copy(file, cache)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries", "1"]
        _run([npm, "ci", *options, "--fetch-timeout", "5000"], cache)

    _once(lock, cache, install)
    return Path(node), cache


def _once(lock: Path, cache: Path, install: Callable[[], None]) -> None:
    """Install unless that is done for this lock; skip the test if the packages cannot be had."""
    done = cache / "installed-from"
    if done.exists() and done.read_bytes() == lock.read_bytes():
        return
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    try:
        install()
    except subprocess.CalledProcessError as error:
        if "MATCH THE HASHES" in error.stderr or "EINTEGRITY" in error.stderr:
            raise  # the registry has something else than what was locked
        told = error.stderr.strip().splitlines()
        _skip(lock, next((line for line in told if "error" in line.lower()), str(error)))
    except (OSError, subprocess.TimeoutExpired) as error:
        _skip(lock, str(error))
    done.write_bytes(lock.read_bytes())


def _skip(lock: Path, why: str) -> NoReturn:
    pytest.skip(
        f"the packages of tests/clients/{lock.name} cannot be installed: run the test once where "
        f"their registry is reached ({why})"
    )


def _run(command: list[str | Path], folder: Path) -> None:
    subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=INSTALL_S
    )
