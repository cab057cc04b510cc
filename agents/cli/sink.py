"""Where a command writes a long answer: stdout, or a file that appears when it is whole."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from agents.terminal.say import Sink, stdout
from schemas.errors import Fatal, UsageError

__all__ = ["check_output", "output_option", "sink"]

F = TypeVar("F", bound=Callable[..., Any])


def output_option(function: F) -> F:
    """Add `--output FILE`, or `--out FILE`, to a command (parameter `output`)."""
    return click.option(
        "--output",
        "--out",
        "output",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="File to write; it appears only when it is whole.  [default: stdout]",
    )(function)


def check_output(format_: str, output: Path | None, *, as_json: bool) -> None:
    """Raise UsageError for an answer that stdout cannot take."""
    if output is not None:
        return
    if as_json:
        raise UsageError("--json needs --output: the rows themselves go to stdout")
    if format_ == "parquet" and sys.stdout.isatty():
        raise UsageError("A terminal cannot show Parquet", remedy="Name a file with --output")


@contextmanager
def sink(output: Path | None) -> Iterator[Sink]:
    """The file, or stdout. Raises Fatal for a file that cannot be written."""
    if output is None:
        yield stdout()
        return
    part = output.with_name(f"{output.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except OSError as error:
        raise Fatal(
            f"{output} cannot be written: {error.strerror}", remedy="Name a writable file"
        ) from error
    finally:
        part.unlink(missing_ok=True)
