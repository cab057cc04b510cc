"""`emberline settings`: every setting with its value and its origin."""

import click

from agents.cli.options import emit, json_option, settings_of
from agents.terminal.say import say
from agents.terminal.table import columns, prose
from streams.settings import describe

__all__ = ["command"]


@click.command("settings", help="Print every setting, its value, and where that came from.")
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """One line for each setting; with --json one object by name."""
    lines = describe(settings_of(ctx))
    if as_json:
        facts = {
            line.name: {"value": line.value, "origin": line.origin, "doc": line.doc}
            for line in lines
        }
        emit(facts)
        return
    if columns() is not None:
        for line in lines:
            say(f"{line.name} = {line.value or 'empty'}  ({line.origin})", bold=True)
            prose(line.doc, "    ")
        return
    names = max(len(line.name) for line in lines)
    values = max(len(line.value) for line in lines)
    for line in lines:
        say(f"{line.name:{names}}  {line.value:{values}}  {line.origin}")
        say(f"{'':{names}}  {line.doc}", dim=True)
