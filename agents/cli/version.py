"""`emberline version`: what is installed."""

import platform
from importlib import metadata

import click

from agents.cli.options import emit, json_option
from agents.terminal.say import say

__all__ = ["command"]


@click.command("version", help="Print the version.")
@json_option
def command(as_json: bool) -> None:
    """As `--version`; with --json also the version of Python."""
    version = metadata.version("emberline")
    if as_json:
        emit({"emberline": version, "python": platform.python_version()})
    else:
        say(f"emberline {version}")
