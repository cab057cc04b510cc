"""`make release`: wheel, sdist and the build context of the image, from a clean work tree.

The version is that of pyproject.toml. What is made is tried before it is kept: the wheel is built
from the sdist, installed with requirements-run.lock into an empty environment, and plays the demo
from an empty folder.
"""

import gzip
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Built", "ReleaseProblem", "build", "check_changelog", "check_clean", "context_files",
           "release", "tracked", "version_of"]  # fmt: skip

ROOT = Path(__file__).parents[2]
RUN_LOCK = "requirements-run.lock"
_PACKED = "import sys; from setuptools import build_meta; print(build_meta.{}(sys.argv[1]))"
_BUILD_S = 300
_DEMO_S = 900


class ReleaseProblem(Exception):
    """No release can be made; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Built:
    """The files of a release."""

    sdist: Path
    wheel: Path
    context: Path

    def all(self) -> tuple[Path, Path, Path]:
        """Each of them."""
        return self.sdist, self.wheel, self.context


def version_of(root: Path = ROOT) -> str:
    """The version: this is its one place."""
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])


def check_changelog(text: str, version: str) -> None:
    """Raise ReleaseProblem unless CHANGELOG.md has a section for the version; that of a final
    version has its date. A version that ends in `.devN` needs the section of the one to come.
    """
    final = re.sub(r"\.dev\d+$", "", version)
    found = re.search(rf"^## {re.escape(final)}(?: \((.+)\))?$", text, re.MULTILINE)
    if found is None:
        raise ReleaseProblem(
            f"CHANGELOG.md has no section for {final}: write one, with a line "
            f"`## {final} (YYYY-MM-DD)`"
        )
    if final == version and not re.fullmatch(r"\d{4}-\d\d-\d\d", found[1] or ""):
        raise ReleaseProblem(
            f"CHANGELOG.md says `{found[0]}`: write the date of the release, "
            f"`## {final} (YYYY-MM-DD)`, or build {final}.dev0"
        )


def check_clean(root: Path = ROOT) -> None:
    """Raise ReleaseProblem if the work tree has something that is not committed."""
    changed = _git(root, "status", "--porcelain").splitlines()
    if changed:
        names = ", ".join(line[3:] for line in changed[:5])
        raise ReleaseProblem(
            f"The work tree has {len(changed)} changes that are not committed ({names}): "
            "commit them, or put them away with `git stash -u`"
        )


def tracked(root: Path = ROOT) -> list[str]:
    """The files that a commit of the whole work tree would have, as paths from the root."""
    names = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return sorted(name for name in names if name and (root / name).is_file())


def context_files(root: Path = ROOT) -> list[str]:
    """The files that the image is built of: what the Dockerfile copies from them, and itself."""
    copied: set[str] = {"Dockerfile", ".dockerignore"}
    for line in (root / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from=" not in line:
            copied.update(line.split()[1:-1])
    return [
        name
        for name in tracked(root)
        if name in copied or any(name.startswith(f"{folder}/") for folder in copied)
    ]


def build(to: Path, root: Path = ROOT) -> Built:
    """Build all files into the folder `to`: of all files of the work tree, committed or not.

    Raises ReleaseProblem with what the build said.
    """
    to.mkdir(parents=True, exist_ok=True)
    made_at = _git(root, "log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory(prefix="emberline-release-") as name:
        scratch = Path(name)
        source = scratch / "source"
        for file in tracked(root):
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / file, source / file)
        sdist = to / _pack("build_sdist", source, to, made_at)
        with tarfile.open(sdist) as opened:
            opened.extractall(scratch / "unpacked", filter="data")
        (unpacked,) = (scratch / "unpacked").iterdir()
        wheel = to / _pack("build_wheel", unpacked, to, made_at)
    context = to / f"emberline-{version_of(root)}-image.tar.gz"
    context.write_bytes(_tar(root, context_files(root), int(made_at)))
    return Built(sdist, wheel, context)


def release(to: Path, root: Path = ROOT) -> Built:
    """Build and try a release, and put it into the folder `to`. Raises ReleaseProblem."""
    version = version_of(root)
    check_changelog((root / "CHANGELOG.md").read_text(), version)
    check_clean(root)
    print(f"emberline {version}: building", flush=True)
    with tempfile.TemporaryDirectory(prefix="emberline-release-") as name:
        scratch = Path(name)
        built = build(scratch / "built", root)
        print(
            "an empty environment gets the wheel and what requirements-run.lock names", flush=True
        )
        _try(built.wheel, root / RUN_LOCK, scratch, version)
        to.mkdir(parents=True, exist_ok=True)
        kept = Built(*(to / file.name for file in built.all()))
        for file, place in zip(built.all(), kept.all(), strict=True):
            shutil.move(file, place)
    sums = "".join(f"{_sha256(file)}  {file.name}\n" for file in kept.all())
    (to / f"emberline-{version}.sha256").write_text(sums)
    return kept


def _try(wheel: Path, lock: Path, scratch: Path, version: str) -> None:
    """Install the wheel where nothing else is, and play the demo with it."""
    home, empty = scratch / "environment", scratch / "empty"
    venv.create(home, with_pip=True)
    python, program = home / "bin" / "python", home / "bin" / "emberline"
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "--quiet",
    ]
    _run([*pip, "--require-hashes", "-r", lock], scratch, _BUILD_S)
    _run([*pip, "--no-deps", "--no-index", wheel], scratch, _BUILD_S)
    empty.mkdir()
    said = _run([program, "--version"], empty, _BUILD_S).strip()
    if said.split()[-1] != version:
        raise ReleaseProblem(f"The installed program calls itself {said!r}, not {version}")
    print("it plays the demo, in an empty folder", flush=True)
    done = subprocess.run(
        [program, "demo"], cwd=empty, env=_environment(), timeout=_DEMO_S, check=False
    )
    if done.returncode != 0:
        raise ReleaseProblem(f"The demo of the installed wheel ended with {done.returncode}")
    left = sorted(one.name for one in empty.iterdir())
    if left not in ([], ["emberline-data"]):
        raise ReleaseProblem(f"The demo has left {', '.join(left)} in its folder")


def _pack(what: str, source: Path, to: Path, made_at: str) -> str:
    """Run a function of setuptools' build backend in `source`; the name of the file it made."""
    command = [sys.executable, "-c", _PACKED.format(what), str(to.resolve())]
    return _run(command, source, _BUILD_S, {"SOURCE_DATE_EPOCH": made_at}).splitlines()[-1]


def _run(
    command: Sequence[str | Path], folder: Path, seconds: float, more: Mapping[str, str] = {}
) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment() | dict(more),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode != 0:
        words = " ".join(map(str, command[:4]))
        raise ReleaseProblem(f"`{words}` ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def _environment() -> dict[str, str]:
    """This process's environment without what would lead a program to this work tree."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("EMBERLINE_", "PYTHON"))}
    return {name: value for name, value in kept.items() if name != "VIRTUAL_ENV"}


def _tar(root: Path, names: Sequence[str], made_at: int) -> bytes:
    """The files as a .tar.gz that says nothing of who packed it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as opened:
        for name in names:
            content = (root / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), made_at
            entry.mode = 0o755 if os.access(root / name, os.X_OK) else 0o644
            opened.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=made_at)


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ReleaseProblem(f"`git {arguments[0]}` failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    try:
        made = release(ROOT / "dist")
    except ReleaseProblem as problem:
        sys.exit(f"no release: {problem}")
    for path in made.all():
        print(path.relative_to(ROOT))
    if ".dev" not in version_of():
        print(f"Then: git tag v{version_of()}, and what CONTRIBUTING.md says of a release")
