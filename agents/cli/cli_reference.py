"""The page of the command line, made from the commands."""

from collections.abc import Iterator, Mapping, Sequence

import click

from agents.reference.page import Page, Section, Table

__all__ = ["every_command", "page"]

_ABOUT = "every command, its arguments and its options"
_EVERYWHERE = ("--help", "--json")


def page(root: click.Group, sections: Mapping[str, Sequence[str]]) -> Page:
    """A section for each command, in the order of `emberline --help`."""
    order = [name for names in sections.values() for name in names]
    found = sorted(
        every_command(root), key=lambda one: order.index(one[0][0]) if one[0][0] in order else 999
    )
    return Page(
        "cli",
        "Command line",
        _ABOUT,
        (
            Section(
                text=(
                    "Every command has `--help`; most have `--json`, which prints one JSON object "
                    "or one object on each line. Each setting is an option of every command too: "
                    "[settings.md](settings.md) lists them. Exit codes: 0, 1 for a failure, 2 for "
                    "wrong use, 130 for Ctrl-C. `emberline help TOPIC` shows the other pages of "
                    "this reference.",
                ),
            ),
            *(_section(words, command) for words, command in found),
        ),
    )


def every_command(root: click.Group) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The words of each command and the command; groups that do nothing alone are left out."""
    with click.Context(root, info_name="emberline") as ctx:
        for name in root.list_commands(ctx):
            command = root.get_command(ctx, name)
            if command is None or command.hidden:
                continue
            if not isinstance(command, click.Group) or command.invoke_without_command:
                yield (name,), command
            if isinstance(command, click.Group):
                for words, inner in every_command(command):
                    yield (name, *words), inner


def _section(words: tuple[str, ...], command: click.Command) -> Section:
    title = " ".join(("emberline", *words))
    about = " ".join((command.help or "").split("\f", 1)[0].split())
    ctx = click.Context(command, info_name=title)
    usage = " ".join(command.collect_usage_pieces(ctx))
    rows = []
    for parameter in command.get_params(ctx):
        row = _row(parameter, ctx)
        if row is not None:
            rows.append(row)
    return Section(
        title,
        tuple(text for text in (f"`{title}{' ' if usage else ''}{usage}`", about) if text),
        Table(("option", "what it does"), tuple(rows)) if rows else None,
    )


def _row(parameter: click.Parameter, ctx: click.Context) -> tuple[str, str] | None:
    if not isinstance(parameter, click.Option) or parameter.hidden:
        return None
    if set(parameter.opts) <= set(_EVERYWHERE):
        return None
    record = parameter.get_help_record(ctx)
    if record is None:
        return None
    name, said = (" ".join(text.split()) for text in record)
    return f"`{name}`", said
