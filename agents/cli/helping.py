"""`emberline help`: a page of the reference, or the help of a command."""

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from agents.cli.options import emit, json_option
from agents.reference import pages
from agents.reference.page import plain
from agents.terminal.say import say
from agents.terminal.table import columns, folded, prose, show
from schemas.errors import UsageError
from schemas.words.nearest import hint

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from agents.reference.page import Page, Section

__all__ = ["command"]

_WIDE = 100
"""Lines of prose are no longer, however wide the terminal is."""


class _Topic(click.ParamType):
    """A topic, or a command."""

    name = "topic"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """Both, as far as they begin so."""
        from click.shell_completion import CompletionItem

        words = [*pages.NAMES, *_commands(ctx)]
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


@click.command(
    "help", help="Explain TOPIC, a page of the reference such as filters or states, or a command."
)
@click.argument("topic", nargs=-1, type=_Topic(), metavar="[TOPIC]")
@json_option
@click.pass_context
def command(ctx: click.Context, topic: tuple[str, ...], as_json: bool) -> None:
    """Without TOPIC the list of them. The pages are made from the code, as docs/reference is."""
    if not topic:
        _list(ctx, as_json)
    elif len(topic) == 1 and topic[0] in pages.NAMES:
        found = pages.page(topic[0])
        if as_json:
            emit(asdict(found))
        else:
            _show(found)
    else:
        _of_command(ctx, topic, as_json)


def _commands(ctx: click.Context) -> list[str]:
    group = ctx.find_root().command
    return group.list_commands(ctx) if isinstance(group, click.Group) else []


def _list(ctx: click.Context, as_json: bool) -> None:
    if as_json:
        emit({"topics": dict(pages.ABOUT), "commands": _commands(ctx)})
        return
    show(("topic", "what"), list(pages.ABOUT.items()))
    say()
    prose("`emberline help TOPIC` shows one; `emberline --help` lists the commands.")


def _of_command(ctx: click.Context, words: tuple[str, ...], as_json: bool) -> None:
    """The help of a command, or of one in a group. Raises UsageError."""
    found, within = ctx.find_root().command, ctx.find_root()
    for word in words:
        inner = found.get_command(within, word) if isinstance(found, click.Group) else None
        if inner is None:
            known = (*pages.NAMES, *_commands(ctx))
            raise UsageError(f"There is no topic {word[:80]!r}", remedy=hint(word, known))
        found, within = inner, click.Context(inner, info_name=word, parent=within)
    text = found.get_help(within)
    if as_json:
        emit({"command": " ".join(words), "help": text})
        return
    for line in text.splitlines():
        say(line)


def _show(page: "Page") -> None:
    say(page.title, bold=True)
    for section in page.sections:
        if section.title:
            say()
            say(plain(section.title), bold=True)
        for line in _paragraphs(section):
            say(line)
        if section.table is not None:
            say()
            rows = [[plain(cell) for cell in row] for row in section.table.rows]
            show([plain(name) for name in section.table.columns], rows, copied=1)
        if section.example:
            say()
            for line in section.example.splitlines():
                say(f"    {line}")


def _paragraphs(section: "Section") -> Iterator[str]:
    wide = min(_WIDE, columns() or shutil.get_terminal_size().columns)
    for paragraph in section.text:
        yield ""
        yield from folded(plain(paragraph), wide)
