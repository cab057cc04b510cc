"""The pages of docs agree with the code: filters, codes, the generated reference."""

import re
from pathlib import Path

import pytest

from agents.cli.reference import files
from agents.coordinator.rules.wording import KEEPS_HOT
from agents.filters.errors import FilterError
from agents.filters.parsing import parse
from agents.filters.vocabulary import VOCABULARY
from agents.reference.filters import TABLES
from schemas.tables.interaction import CHANNELS
from streams.kafka.topic_specs import Topics
from streams.settings import Settings, describe

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *ROOT.glob("examples/README.md"),
        *ROOT.glob("examples/*/README.md"),
    ]
)
PAGE = (DOCS / "filters.md").read_text()
ROOMS = ("schemas/", "streams/", "agents/")
VALUES = {
    "action": "any",
    "comparator": ">=",
    "n": 1,
    "index": "any",
    "by": "person",
    "channel": "EMAIL",
    "after": "P2D",
}


def table() -> dict[str, tuple[list[str], list[str]]]:
    """The arguments that each filter needs, and those that it may have."""
    found = {}
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            names, arguments = line.split("|")[1:3]
            words = re.sub(r"\([^)]*\)", "", arguments)
            given = re.findall(r"(\w+)(\??)", words.replace(" or ", " "))
            needed = [word for word, may in given if not may]
            for name in re.findall(r"`(\w+)`", names):
                found[name] = (needed, [word for word, may in given if may])
    return found


def test_every_filter_is_there() -> None:
    assert set(table()) == set(VOCABULARY)
    assert ", ".join(CHANNELS) in " ".join(PAGE.split())


@pytest.mark.parametrize("name", sorted(VOCABULARY))
def test_arguments_are_those_of_the_table(name: str) -> None:
    needed, optional = table()[name]
    rows = (line for line in PAGE.splitlines() if line.startswith("| `"))
    one_at_least = "one at least" in next(row for row in rows if f"`{name}`" in row)
    full = {word: VALUES.get(word, "x") for word in (*needed, *optional) if word != "before"}
    parse({"filter": name, **full})
    parse({"filter": name, **full, "has": False})
    for word in (*needed, *(["after"] if one_at_least else [])):
        left = {key: value for key, value in full.items() if key != word}
        with pytest.raises(FilterError):
            parse({"filter": name, **left})
    for word in optional:
        if not (word == "after" and one_at_least):
            parse({"filter": name, **{k: v for k, v in full.items() if k != word}})
    if "before" in optional:
        parse({"filter": name, **{k: v for k, v in full.items() if k != "after"}, "before": "P1D"})
    with pytest.raises(FilterError, match="nonsense"):
        parse({"filter": name, **full, "nonsense": 1})


def test_the_help_about_filters_has_the_rows_of_the_page() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    cells = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]
    assert cells == [row for rows in TABLES.values() for row in rows]


def test_the_readme_names_topics_that_exist() -> None:
    page = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`(emberline\.[a-z.-]+)`", page)) - {
        "emberline.toml",
        "emberline.access",
    }
    assert len(named) > 5
    assert named <= set(Topics("emberline.").all())


def test_the_reference_is_what_the_code_gives() -> None:
    found = {file.name: file.read_text() for file in (DOCS / "reference").iterdir()}
    assert found == files(), "run `make reference`"


def test_every_page_states_the_same_rule_for_hot_sources() -> None:
    texts = [(DOCS.parent / "README.md").read_text(), PAGE]
    texts += [line.doc for line in describe(Settings()) if line.name == "segments_are_roots"]
    rule = KEEPS_HOT.removesuffix(".")
    assert all(rule in " ".join(text.replace("`", "").split()) for text in texts)


def test_the_table_of_rights_has_every_topic_and_only_workers_write_internal_ones() -> None:
    page = (DOCS.parent / "SECURITY.md").read_text()
    rows = re.findall(r"^\| `([a-z.-]+)` \|(.*)\|$", page, re.MULTILINE)
    topics = Topics("")
    assert [name for name, _ in rows] == list(topics.all())
    internal = {topics.repartition, topics.shard_reports, topics.changelog, topics.archive}
    for name, rights in rows:
        workers, *others = (cell.strip() for cell in rights.split("|"))
        assert "R" in workers
        if name in internal:
            assert others == ["", "", ""]
        if name == topics.coordinator:
            assert others == ["", "R", ""], "commands show a sweep that waits"


def test_operators_may_read_what_their_commands_read() -> None:
    page = (ROOT / "SECURITY.md").read_text()
    rows = re.findall(r"^\| `([a-z.-]+)` \|(.*)\|$", page, re.MULTILINE)
    operators = {name: rights.split("|")[2].strip() for name, rights in rows}
    for command in ("status", "explain", "audit", "rejected", "restores", "asking"):
        code = (ROOT / f"agents/cli/{command}.py").read_text()
        named = re.findall(r"(?:topics|Topics\(settings\.prefix\))\.([a-z_]+)", code)
        for topic in {getattr(Topics(""), name) for name in named}:
            assert "R" in operators[topic], f"emberline {command} reads {topic}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there_under_its_whole_path(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"[\w./-]+\.py\b", text)) - {"__init__.py"}
    # programs that the page has as a whole
    named -= set(re.findall(r"^```python\n# (\w+\.py)$", text, re.MULTILINE))
    named |= {path for path in re.findall(r"`([a-z_./]+)`", text) if path.startswith(ROOMS)}
    named |= set(re.findall(r"\]\(((?!http)[^)#]+)\)", text))
    assert [path for path in sorted(named) if not reached(page, path)] == []


def reached(page: Path, path: str) -> bool:
    """Whether a path is one from the root, or a link from where the page lies."""
    return (ROOT / path).exists() or (page.parent / path).exists()


def test_every_class_and_function_of_the_architecture_is_in_the_tree() -> None:
    page = (DOCS / "architecture.md").read_text()
    code = "\n".join(
        file.read_text() for room in ROOMS for file in sorted((ROOT / room).rglob("*.py"))
    )
    classes = re.findall(r"`([A-Z][a-z]+[A-Z]?\w*)(?:\.(\w+))?`", page)
    assert len(classes) > 3
    for name, method in classes:
        assert re.search(rf"^class {name}\b", code, re.MULTILINE), name
        assert not method or re.search(rf"def {method}\b", code), f"{name}.{method}"
    for function, file in re.findall(r"`([a-z_]+)` in\s+`([\w/]+\.py)`", page):
        assert re.search(rf"def {function}\b", (ROOT / file).read_text()), f"{function} in {file}"


def test_the_changelog_says_each_thing_once_and_under_a_heading() -> None:
    for version in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        first, *sections = version.split("\n### ")
        assert "\n- " not in first
        heads = [head for part in sections for head in re.findall(r"^- \*\*(.+?)\*\*", part, re.M)]
        assert sorted(heads) == sorted(set(heads))
