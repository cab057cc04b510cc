"""What a release contains, and that no release is made of what is not right."""

import ast
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.rigs.release import (
    ROOT,
    Built,
    ReleaseProblem,
    build,
    check_changelog,
    check_clean,
    context_files,
    tracked,
    version_of,
)

PACKAGES = ("schemas", "streams", "agents")
SHARE = f"emberline-{version_of()}.data/data/share/emberline/"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def wheel(built: Built) -> dict[str, bytes]:
    with zipfile.ZipFile(built.wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (ROOT / package).rglob("*.py")


def test_files_are_called_after_the_version_of_the_project(built: Built) -> None:
    version = version_of()
    assert [file.name for file in built.all()] == [
        f"emberline-{version}.tar.gz",
        f"emberline-{version}-py3-none-any.whl",
        f"emberline-{version}-image.tar.gz",
    ]


def test_the_version_stands_in_one_place_alone() -> None:
    """Programs ask the installation, and files for operators name no version."""
    final = re.escape(version_of().partition(".dev")[0])
    places = ("schemas/", "streams/", "agents/", "deploy/", "Dockerfile", "docker-compose", "Make")
    wrong = [
        name
        for name in tracked()
        if name.startswith(places)
        and re.search(
            rf"^__version__|version\W{{1,5}}{final}|emberline\W{{1,3}}v?{final}",
            (ROOT / name).read_text(errors="replace"),
            re.MULTILINE,
        )
    ]
    assert wrong == []


def test_the_sdist_has_every_file_that_git_has(built: Built) -> None:
    with tarfile.open(built.sdist) as opened:
        files = {one.name.partition("/")[2] for one in opened.getmembers() if one.isfile()}
    assert set(tracked()) - files == set()
    more = {name for name in files - set(tracked()) if not name.startswith("emberline.egg-info")}
    assert more <= {"PKG-INFO", "setup.cfg"}


def test_the_wheel_has_every_file_of_the_packages(wheel: dict[str, bytes]) -> None:
    """Modules, schemas, the page, the catalogue of mail, the broker's project file."""
    files = [name for name in tracked() if name.startswith(tuple(f"{one}/" for one in PACKAGES))]
    # the schemas of releases are compared with by tests alone
    needed = [name for name in files if not name.startswith("schemas/releases/")]
    assert len(needed) > 500
    assert [n for n in needed if wheel.get(n) != (ROOT / n).read_bytes()] == []


def test_the_wheel_has_no_tests(wheel: dict[str, bytes]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    assert {top for top in tops if not top.startswith("emberline-")} == set(PACKAGES)


def test_the_wheel_brings_the_files_for_operators(wheel: dict[str, bytes]) -> None:
    files = [name for name in tracked() if name.startswith("deploy/")]
    assert [
        name
        for name in files
        if wheel.get(SHARE + name.removeprefix("deploy/")) != (ROOT / name).read_bytes()
    ] == []


def test_the_program_needs_no_package_but_those_of_the_runtime_lock() -> None:
    """Nothing that only tests have is imported; the programs of `emberline bench` are its own."""
    lock = (ROOT / "requirements-run.lock").read_text()
    locked = set(re.findall(r"^([a-z0-9.-]+)==", lock, re.MULTILINE))
    bench = {"confluent_kafka", "duckdb", "quixstreams"}
    # _typeshed is for type checkers, and there only; Python brings `compression` from 3.14 on
    known = {*sys.stdlib_module_names, *PACKAGES, *bench, "_typeshed", "compression"}
    distributions = packages_distributions()
    wrong = set()
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for top in {name.partition(".")[0] for name in names}:
                if top in known:
                    continue
                owners = {re.sub(r"[-_.]+", "-", one).lower() for one in distributions.get(top, [])}
                if not owners & locked:
                    wrong.add(f"{file.relative_to(ROOT)} imports {top}")
    assert wrong == set()


def test_the_locks_agree() -> None:
    """What runs is what was tested."""

    def pinned(lock: str) -> dict[str, str]:
        found = re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
        return dict(found)

    tested = pinned("requirements.lock")
    for lock in ("requirements-run.lock", "requirements-build.lock"):
        assert pinned(lock).items() <= tested.items(), f"{lock}: make lock"
    assert not {"pytest", "mypy", "playwright"} & set(pinned("requirements-run.lock"))


def test_the_context_of_the_image_is_what_the_dockerfile_copies(built: Built) -> None:
    with tarfile.open(built.context) as opened:
        entries = {entry.name: entry for entry in opened.getmembers()}
    assert sorted(entries) == context_files()
    assert {"Dockerfile", ".dockerignore", "requirements-run.lock", "LICENSE"} <= set(entries)
    assert not [name for name in entries if name.startswith(("tests/", "docs/", ".git"))]
    assert all(entry.uid == entry.gid == 0 and not entry.uname for entry in entries.values())


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("# Changelog\n\n## 0.2.0 (unreleased)\n", "0.2.0.dev0"),
        ("## 0.3.0 (unreleased)\n\n## 0.2.0 (2026-12-01)\n", "0.2.0"),
    ],
)
def test_a_version_with_its_section_is_released(text: str, version: str) -> None:
    check_changelog(text, version)


@pytest.mark.parametrize(
    ("text", "version", "said"),
    [
        ("## 0.1.0 (2026-01-01)\n", "0.2.0", "has no section for 0.2.0"),
        ("## 0.2.01 (2026-01-01)\n", "0.2.0", "has no section for 0.2.0"),
        ("## 0.2.0 (unreleased)\n", "0.2.0", "write the date of the release"),
        ("## 0.2.0\n", "0.2.0", "write the date of the release"),
    ],
)
def test_a_version_without_its_section_is_refused(text: str, version: str, said: str) -> None:
    with pytest.raises(ReleaseProblem, match=said):
        check_changelog(text, version)


def test_the_changelog_and_the_page_about_upgrading_know_the_version() -> None:
    check_changelog((ROOT / "CHANGELOG.md").read_text(), version_of())
    final = version_of().partition(".dev")[0]
    assert f"\n| {final} |" in (ROOT / "docs" / "upgrading.md").read_text()


def test_a_work_tree_with_changes_is_refused(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    check_clean(tmp_path)
    (tmp_path / "key").write_text("secret")
    with pytest.raises(ReleaseProblem, match=r"1 changes that are not committed \(key\)"):
        check_clean(tmp_path)
