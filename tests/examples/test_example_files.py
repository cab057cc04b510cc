"""The files of examples/: pinned versions, locks without a host, READMEs that name every file."""

import json
import re
from pathlib import Path

import pytest

from schemas.records import registry
from tests.rigs.examples import EXAMPLES, LANGUAGES, commands

ROOT = EXAMPLES.parent
LOCKS = ("python/requirements.txt", "javascript/package-lock.json", "go/go.sum")
PROGRAMS = {
    "python": {"producer", "consumer", "audience"},
    "java": {"producer", "consumer"},
    "go": {"producer", "consumer"},
    "javascript": {"producer", "consumer", "audience"},
}
TYPES = ("send", "open", "click", "variant", "conversion")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_readme_has_one_command_that_builds_and_one_for_each_program(language: str) -> None:
    _, programs = commands(language)
    assert programs.keys() == PROGRAMS[language]


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_have_hashes_and_name_no_host(lock: str) -> None:
    text = (EXAMPLES / lock).read_text()
    assert "://" not in text
    assert len(re.findall(r"--hash=sha256:|\"integrity\": \"sha512-| h1:", text)) > 1


def test_packages_of_python_are_those_of_the_project() -> None:
    # so the tests need no second installation
    pinned = re.compile(r"^([a-z0-9.-]+==\S+)", re.MULTILINE)
    ours = set(pinned.findall((ROOT / "requirements.lock").read_text()))
    found = pinned.findall((EXAMPLES / "python/requirements.txt").read_text())
    assert {"aiokafka", "fastavro"} <= {one.partition("==")[0] for one in found}
    assert set(found) <= ours, "run `make lock`"


def test_versions_of_java_and_javascript_are_exact() -> None:
    pom = (EXAMPLES / "java/pom.xml").read_text()
    parts = re.findall(r"<(?:dependency|plugin)>(.*?)</(?:dependency|plugin)>", pom, re.DOTALL)
    assert len(parts) == 8
    assert all(re.search(r"<version>[\d.]+</version>", part) for part in parts)
    package = json.loads((EXAMPLES / "javascript/package.json").read_text())
    assert all(re.fullmatch(r"[\d.]+", version) for version in package["dependencies"].values())


@pytest.mark.parametrize(
    "producer",
    ["python/producer.py", "java/src/main/java/Producer.java", "go/producer/main.go",
     "javascript/producer.js"],
)  # fmt: skip
def test_a_producer_writes_the_ids_of_the_present_schemas(producer: str) -> None:
    text = (EXAMPLES / producer).read_text()
    for name in TYPES:
        (number,) = re.findall(rf"\b{name}\b\W{{1,4}}(\d{{10}})", text)
        assert int(number) == registry.own_id(name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_readme_names_every_file_and_every_file_is_there(language: str) -> None:
    folder = EXAMPLES / language
    named = set(
        re.findall(r"`([\w./-]+\.(?:py|java|go|js|json|xml|txt|mod|sum))`", _readme(folder))
    )
    named -= {"done.txt"}
    there = {file.name for file in folder.rglob("*") if file.is_file()}
    assert {Path(name).name for name in named} <= there
    sources = {file.name for kind in ("py", "java", "js") for file in folder.glob(f"**/*.{kind}")
               if "node_modules" not in file.parts and "target" not in file.parts}  # fmt: skip
    assert sources <= {Path(name).name for name in named}


def _readme(folder: Path) -> str:
    return (folder / "README.md").read_text()


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_reads_the_settings_of_the_page_about_secured_kafka(language: str) -> None:
    page = (ROOT / "docs/secured-kafka.md").read_text()
    table = page.partition("## One example")[0]
    settings = {name.upper() for name in re.findall(r"`kafka_(\w+)`", table)}
    kinds = (".py", ".java", ".go", ".js")
    files = [
        file for file in (EXAMPLES / language).rglob("[cC]onnection.*") if file.suffix in kinds
    ]
    sources = files[0].read_text()
    named = set(re.findall(r"\"([A-Z_]{4,})\"", sources))
    # a secret is read by the name of its setting, with _FILE behind it or not
    named |= {f"{name}_FILE" for name in named}
    # these belong to the token server, which no example asks
    of_the_server = {
        name for name in settings if name.startswith("TOKEN_") and name != "TOKEN_FILE"
    }
    assert settings - of_the_server <= named
    assert "TOKEN_URL" in named
