"""Alert rules, their tests, the dashboard and the runbook agree with the names of the metrics, with
each other and with the commands that exist.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from agents.cli import main
from streams.metrics.exposition import Families, encode
from streams.metrics.meters import Meters
from streams.metrics.names import ALL, STANDARD, Metric
from streams.settings import names as settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus" / "alerts.yml"
RULE_TESTS = DEPLOY / "prometheus" / "alerts.test.yml"
DASHBOARD = DEPLOY / "grafana" / "emberline.json"
RUNBOOK = ROOT / "docs" / "runbook"
PAGES = sorted(RUNBOOK.glob("Emberline*.md"))
PARTS = ("_bucket", "_sum", "_count")

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: apt-get install prometheus"
)


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Every text with a query, and where it is."""
    yield from ((rule["alert"], rule["expr"]) for rule in alerts())
    for panel in panels():
        yield from ((panel["title"], target["expr"]) for target in panel.get("targets", ()))
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        query = variable["query"]
        yield variable["name"], query if isinstance(query, str) else query["query"]
    for page in [*PAGES, ROOT / "docs" / "monitoring.md"]:
        yield from ((page.name, text) for text in re.findall(r"`([^`]+)`", page.read_text()))


def metric(name: str) -> Metric | None:
    """The metric of ours that a series belongs to."""
    for one in ALL:
        series = [one.name + part for part in PARTS] if one.kind == "histogram" else [one.name]
        if name in series:
            return one
    return None


def test_every_metric_in_a_query_is_one_of_the_table() -> None:
    wrong = []
    for where, query in queries():
        for name in re.findall(r"(?<![\w.:/-])(emberline_\w+|process_\w+)", query):
            known = metric(name) is not None or name in STANDARD
            # a page may speak of a histogram as a whole
            whole = where.endswith(".md") and name in {one.name for one in ALL}
            if not (known or whole or name.endswith("_")):
                wrong.append(f"{where}: {name}")
    assert wrong == []


def test_every_label_in_a_query_is_one_of_its_metric() -> None:
    wrong = []
    for where, query in queries():
        for name, matchers in re.findall(r"(emberline_\w+)\{([^}]*)\}", query):
            found = metric(name)
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - {"job", "instance"}
            if found is None or not labels <= {*found.labels, "le"}:
                wrong.append(f"{where}: {name}{{{matchers}}}")
    assert wrong == []


def test_every_metric_is_on_the_dashboard() -> None:
    shown = " ".join(t["expr"] for panel in panels() for t in panel.get("targets", ()))
    missing = [
        one.name for one in ALL if not re.search(rf"\b{one.name}({'|'.join(PARTS)})?\b", shown)
    ]
    assert missing == []


def test_panels_have_places_of_their_own_and_a_description() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"]
    assert len({panel["id"] for panel in panels()}) == len(panels())


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    named = [rule["alert"] for rule in alerts()]
    assert sorted(named) == [page.stem for page in PAGES]
    for rule in alerts():
        assert rule["annotations"]["runbook"] == f"docs/runbook/{rule['alert']}.md"
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \|", index(), re.MULTILINE)
    assert rows == [(one["alert"], one["alert"], one["labels"]["severity"]) for one in alerts()]
    # it is about no single alert, so nothing of a template is in it, and no cell is cut off
    assert "{{" not in index()
    said = re.findall(r"^\| \[\w+\]\(\w+\.md\) \| \w+ \| ([^|]+) \|$", index(), re.MULTILINE)
    assert len(said) == len(rows)


def index() -> str:
    return (RUNBOOK / "alerts.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_it_means_what_to_look_at_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    heads = re.findall(r"^#+ .*$", text, re.MULTILINE)
    assert heads[:3] == [f"# {page.stem}", "## What to look at", "## What to do"]
    assert heads[3:] in ([], ["## Tried"])
    assert all(part.strip() for part in re.split(r"^#+ .*$", text, flags=re.MULTILINE)[1:])


def commands(text: str) -> Iterator[str]:
    """The commands of emberline that a page names."""
    for code in re.findall(r"`([^`]+)`", text):
        yield from re.findall(
            r"(?:^|[\s/])emberline ((?:[a-z]+|--[a-z-]+)\b[^|>;&]*)", " ".join(code.split())
        )
    yield from re.findall(r"^    .*?\bemberline ([a-z-]+ [^|>;&\n]*)", text, re.MULTILINE)


def check(command: str) -> None:
    """Walk down the groups of the command line, and check the options of what is found."""
    words = command.split()
    found: click.Command = main
    while words and isinstance(found, click.Group):
        context = click.Context(found)
        name = words[0]
        step = found.get_command(context, name)
        assert step is not None, f"there is no command {command!r}"
        found, words = step, words[1:]
    options = {
        one for parameter in found.params for one in (*parameter.opts, *parameter.secondary_opts)
    }
    for word in words:
        if word.startswith("-"):
            assert word in options, f"{command!r}: {word}"


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "docs" / "monitoring.md"], ids=lambda page: page.stem
)
def test_every_command_and_setting_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    for command in commands(text):
        check(command)
    known = {f"EMBERLINE_{name.upper()}" for name in settings()}
    assert set(re.findall(r"EMBERLINE_[A-Z_]+", text)) <= known


def test_every_alert_is_tested_both_ways() -> None:
    fires: dict[str, set[bool]] = {}
    for case in yaml.safe_load(RULE_TESTS.read_text())["tests"]:
        for one in case["alert_rule_test"]:
            fires.setdefault(one["alertname"], set()).add(bool(one.get("exp_alerts")))
    assert fires == {rule["alert"]: {True, False} for rule in alerts()}


def run(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, timeout=120, check=False
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@promtool
def test_promtool_accepts_the_rules_and_the_example() -> None:
    assert "SUCCESS" in run("check", "rules", str(RULES))
    run("check", "config", "--syntax-only", str(DEPLOY / "prometheus" / "prometheus.yml"))


@promtool
def test_the_tests_of_the_rules_pass() -> None:
    assert "SUCCESS" in run("test", "rules", str(RULE_TESTS))


@promtool
def test_promtool_finds_nothing_to_improve_in_any_metric() -> None:
    meters = Meters()
    for one in ALL:
        labels = ["x"] * len(one.labels)
        if one.kind == "histogram":
            meters.observe(one, 1.0, *labels)
        elif one.kind == "counter":
            meters.count(one, *labels)
        else:
            meters.put(one, 1.0, *labels)
    assert run("check", "metrics", stdin=encode(Families.of((), meters), "")[0]) == ""


def test_every_metric_is_read_or_noted_somewhere() -> None:
    table = ROOT / "streams" / "metrics" / "names.py"
    code = "\n".join(
        file.read_text()
        for room in ("streams", "agents")
        for file in sorted((ROOT / room).rglob("*.py"))
        if file != table
    )
    named = dict(re.findall(r'^([A-Z_]+) = _\w+\(\s*"(\w+)"', table.read_text(), re.MULTILINE))
    assert {f"emberline_{name}" for name in named.values()} == {one.name for one in ALL}
    assert [name for name in named if not re.search(rf"\bnames\.{name}\b", code)] == []
