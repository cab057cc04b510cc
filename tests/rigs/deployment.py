"""What tests of deploy/ share: its settings and commands are those of the program."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from agents.cli import main
from streams.settings import load, names

__all__ = ["DEPLOY", "ROOT", "check_settings", "has_command"]

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_PREFIX = "EMBERLINE_"
_VARIABLE = re.compile(r"\$\{\w+:-([^}]*)\}")


def check_settings(environment: Mapping[str, object]) -> dict[str, str]:
    """The environment with defaults in the place of variables (`${NAME:-default}`), once every
    variable of it is a setting with a value that the program accepts.
    """
    known = {f"{_PREFIX}{name.upper()}" for name in names()}
    given = {name: _VARIABLE.sub(r"\1", str(value)) for name, value in environment.items()}
    unknown = sorted(name for name in given if name.startswith(_PREFIX) and name not in known)
    assert unknown == [], "there are no such settings"
    load(env=given, file=Path("/nonexistent"))
    return given


def has_command(words: Sequence[str]) -> bool:
    """Whether `emberline WORDS` is a command of the program."""
    found: click.Command | None = main
    for word in words:
        assert isinstance(found, click.Group), words
        found = found.get_command(click.Context(found), word)
        assert found is not None, words
    return not isinstance(found, click.Group)
