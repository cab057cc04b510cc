"""The group of all commands: imported when used, errors shown in one line, and as JSON."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click
from click.utils import make_default_short_help

from agents.cli.loading import importing
from agents.cli.options import emit, hoisted
from agents.terminal.say import say
from agents.terminal.standard_streams import OutputLost, ReaderGone, finish, prepare
from schemas.errors import EmberlineError, UsageError
from schemas.words.nearest import nearest

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["Group", "Words"]

_FAILURE, _WRONG_USE, _INTERRUPTED = 1, 2, 130

_Tell = Callable[[str, str, int], int]


class Words(click.Group):
    """A group of commands that suggests the nearest command for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As in click, and suggests the nearest command. Raises UsageError."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = nearest(name, self.list_commands(ctx))
            hint = f"Did you mean {near}" if near else f"`{ctx.command_path} --help` lists them"
            raise UsageError(f"There is no command {name[:80]!r}", remedy=hint)
        return super().resolve_command(ctx, args)


class Group(Words):
    """Commands by name -> `module:attribute` and what it does, imported one at a time. `sections`
    are the headings of the help, each with its commands.

    Exit codes: 0, 1 for a failure, 2 for wrong use, 130 for Ctrl-C, and what `ctx.exit` says.
    """

    def __init__(
        self,
        name: str,
        commands: Mapping[str, tuple[str, str]],
        sections: Mapping[str, Sequence[str]] | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(name, no_args_is_help=True, **rest)
        self._sections = sections or {}
        self._modules = {name: module for name, (module, _) in commands.items()}
        self._about = {name: about for name, (_, about) in commands.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands whose module is installed."""
        return [name for name in self._modules if self._there(name)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one command."""
        if name not in self._modules or not self._there(name):
            return None
        module, _, attribute = self._modules[name].partition(":")
        with importing():
            command: click.Command = getattr(importlib.import_module(module), attribute)
        command.epilog = command.epilog or "Settings are flags here too: see `emberline --help`."
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands by sections, without importing any."""
        names = self.list_commands(ctx)
        longest = max(map(len, names))
        room = formatter.width - 6 - longest
        listed = {name for section in self._sections.values() for name in section}
        others = {"Commands": [name for name in names if name not in listed]}
        for title, section in {**self._sections, **others}.items():
            rows = [
                (f"{name:{longest}}", make_default_short_help(self._about[name], room))
                for name in section
                if name in names
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """The names of commands, without importing any; elsewhere as in click."""
        from click.shell_completion import CompletionItem

        if not incomplete.startswith("-"):
            return [
                CompletionItem(name, help=self._about[name])
                for name in self.list_commands(ctx)
                if name.startswith(incomplete)
            ]
        return super().shell_complete(ctx, incomplete)

    def _there(self, name: str) -> bool:
        return importlib.util.find_spec(self._modules[name].partition(":")[0]) is not None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Settings flags count in any position: before the command or after it."""
        return super().parse_args(ctx, hoisted(args))

    def _run(self, *args: Any, **more: Any) -> Any:
        """As in click; of several errors at once it raises the one with a remedy."""
        try:
            return super().main(*args, **more)
        except ExceptionGroup as group:
            leaves = list(_leaves(group))
            raise next((e for e in leaves if isinstance(e, EmberlineError)), leaves[0]) from group

    def main(self, args: Sequence[str] | None = None, *rest: Any, **more: Any) -> NoReturn:
        """Run, and end the process with the exit code. An error is one line on stderr and, with
        `--json`, the last object on stdout as well.
        """
        prepare()
        given = sys.argv[1:] if args is None else args
        tell = _tell_json if _wants_json(given) else _tell
        try:
            code = self._code(given, tell, args, *rest, **more)
        except (ReaderGone, BrokenPipeError):
            code = _FAILURE
        except OutputLost as error:
            code = tell(error.message, error.remedy, _FAILURE)
        lost = finish()
        if lost is not None and code == 0:
            code = _FAILURE
            if not isinstance(lost, ReaderGone):
                _tell(lost.message, lost.remedy, code)
        sys.exit(code)

    def _code(self, given: Sequence[str], tell: _Tell, *args: Any, **more: Any) -> int:
        """Run, and tell errors. Returns the exit code. Raises OutputLost."""
        try:
            code = self._run(*args, **(more | {"standalone_mode": False}))
        except SystemExit as error:
            code = _FAILURE if isinstance(error.code, str) else error.code
        except (click.Abort, KeyboardInterrupt):
            return _INTERRUPTED
        except click.exceptions.NoArgsIsHelpError as error:
            for line in error.format_message().splitlines():
                say(line)
            return 0
        except click.ClickException as error:
            where = getattr(error, "ctx", None)
            path = where.command_path if where is not None else "emberline"
            return tell(error.format_message(), f"See `{path} --help`", error.exit_code)
        except (OutputLost, BrokenPipeError):
            raise
        except UsageError as error:
            return tell(error.message, error.remedy, _WRONG_USE)
        except EmberlineError as error:
            return tell(error.message, error.remedy, _FAILURE)
        except Exception as error:
            if "--verbose" in given:
                raise
            return tell(*_unforeseen(error), _FAILURE)
        return code if isinstance(code, int) else 0


def _wants_json(args: Sequence[str]) -> bool:
    """Whether `--json` is an option of the command line; what follows `--` is none."""
    options = list(args)
    return "--json" in (options[: options.index("--")] if "--" in options else options)


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _unforeseen(error: Exception) -> tuple[str, str]:
    """The message and remedy for an error that no command expects."""
    library = type(error).__module__.partition(".")[0]
    said = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}", "Look at the file and its owner"
    if isinstance(error, OSError) or library in ("aiohttp", "aiokafka"):
        return said, "Look at the broker, the worker and the disk, then try again"
    return (
        f"This is a defect: {type(error).__name__}: {said[:300]}",
        "Run it again with --verbose, and report what it shows",
    )


def _tell(what: str, remedy: str, code: int) -> int:
    line = what.rstrip(".")
    if remedy:
        line = f"{line}. {remedy.rstrip('.')}"
    say(f"emberline: {_one_line(line)}", err=True)
    return code


def _tell_json(what: str, remedy: str, code: int) -> int:
    facts = {"message": _one_line(what), "remedy": _one_line(remedy) or None, "exit_code": code}
    # if stdout is lost, stderr has it in words, and the exit code is that of the error
    with suppress(OutputLost, BrokenPipeError):
        emit({"error": facts})
    return _tell(what, remedy, code)


def _one_line(text: str) -> str:
    return " ".join(text.split())
