"""Every command, call and target of make that a page names is there."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from agents.cli import main
from agents.http.route import Route
from agents.web.server import ROUTES
from streams.settings import names

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("examples/README.md"),
        *ROOT.glob("examples/*/README.md"),
    ]
)
#: Says what was, and so names what is no more.
PAGES.remove(ROOT / "CHANGELOG.md")
_CODE = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"(?:^|[\s|(&;/])emberline((?: [^|;&`\n<>]*)?)")
_CALL = re.compile(r"\b(GET|POST|DELETE) (/[\w{}./:-]*)")
#: Programs for which `emberline` is a name: of a user, a unit, a namespace, an image.
_OTHERS = ("docker build ", "install ", "journalctl ", "kubectl ", "systemctl ", "useradd ")
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|\.\.\.|\[.*|…")


def _code(page: Path) -> Iterator[str]:
    """Lines of code of a page: blocks, continued lines joined, and code in a sentence."""
    text = page.read_text().replace("\\\n", " ")
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.partition(" # ")[0].strip()
        else:
            yield from _CODE.findall(line)


def _commands(page: Path) -> Iterator[list[str]]:
    """The words after `emberline` of each command."""
    for line in _code(page):
        if line.startswith(_OTHERS):
            continue
        for words in _COMMAND.findall(line):
            try:
                yield shlex.split(words)
            except ValueError:  # a quoted text with a mark that ends a command
                yield words.split(" '")[0].split(' "')[0].split()


@cache
def _settings() -> frozenset[str]:
    return frozenset(f"--{name.replace('_', '-')}" for name in names())


def _wrong(words: list[str]) -> str | None:
    """What of a command is not there; None if all is."""
    found: click.Command = main
    ctx = click.Context(main, info_name="emberline")
    rest = list(words)
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        if _PLACEHOLDER.fullmatch(rest[0]):
            return None
        inner = found.get_command(ctx, rest[0])
        if inner is None:
            return None if found.invoke_without_command else f"no command {rest[0]}"
        found, ctx = inner, click.Context(inner, info_name=rest[0], parent=ctx)
        rest = rest[1:]
    options = {name for one in found.get_params(ctx) for name in (*one.opts, *one.secondary_opts)}
    options |= {name for one in main.get_params(ctx) for name in (*one.opts, *one.secondary_opts)}
    for word in rest:
        if re.match(r"--?[a-z]", word) and word.partition("=")[0] not in options | _settings():
            return f"no option {word}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_a_page_are_there(page: Path) -> None:
    wrong = {" ".join(words): said for words in _commands(page) if (said := _wrong(words))}
    assert wrong == {}


def _served(method: str, path: str) -> bool:
    """Whether a route takes a path; `...` in a page stands for any part."""

    def fits(route: Route) -> bool:
        mine, other = route.path.strip("/").split("/"), path.strip("/").split("/")
        return len(mine) == len(other) and all(
            two in (one, "...") or one.startswith("{") for one, two in zip(mine, other, strict=True)
        )

    return any(route.method == method and fits(route) for route in ROUTES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_http_calls_of_a_page_are_there(page: Path) -> None:
    named = {call for line in _code(page) for call in _CALL.findall(line)}
    assert sorted(call for call in named if not _served(*call)) == []


def test_targets_of_make_that_pages_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page.name, target)
        for page in PAGES
        for line in _code(page)
        for target in re.findall(r"(?:^|\s)make ([a-z-]+)", line)
    }
    assert {target for _, target in named} >= {"demo", "test"}
    assert sorted(one for one in named if one[1] not in targets) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("restor --tag x", "no command restor"),
        ("restore --tg x", "no option --tg"),
        ("topics mend", "no command mend"),
        ("status --retention P1D --state EXPIRED", None),
        ("rejected list --json", None),
        ("help TOPIC", None),
    ],
)
def test_a_wrong_command_is_found(words: str, said: str | None) -> None:
    assert _wrong(words.split()) == said
