"""The reference has every word that the code writes as a decision."""

import ast
from collections.abc import Iterator
from pathlib import Path

from agents.reference.decisions import DECISIONS
from schemas.records.lifecycle import WORKING

ROOT = Path(__file__).parents[3]
WRITERS = {"audit", "_done"}
TABLE = "_AUDITED"
FOLDERS = ("agents/coordinator", "agents/notify", "agents/tools")


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _words(node: ast.AST) -> Iterator[str]:
    """The decisions in one call, or in the table of those about the sweep."""
    if isinstance(node, ast.Call):
        if getattr(node.func, "attr", getattr(node.func, "id", "")) in WRITERS:
            for part in node.args[1:]:
                yield from _texts(part)
    elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == TABLE:
        for part in getattr(node.value, "values", ()):
            yield from _texts(part)


def written() -> set[str]:
    """Every decision that the code writes as a word, and those that are a state in lower case."""
    files = [file for one in FOLDERS for file in (ROOT / one).rglob("*.py")]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    return {state.value.lower() for state in WORKING} | {
        word for node in nodes for word in _words(node)
    }


def test_the_reference_has_all_decisions_and_no_other() -> None:
    listed = {word for word in DECISIONS if not word.endswith("_refused")}
    assert listed == written()
