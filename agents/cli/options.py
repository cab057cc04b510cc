"""The flags of every command, and the settings made from them."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from agents.terminal.say import emit
from agents.worker.logs import Plain
from schemas.errors import UsageError
from schemas.words.nearest import hint
from streams.settings import Settings, load
from streams.trusted import FOLDERS_FILE, check_target, is_loopback

__all__ = [
    "RESERVED",
    "Word",
    "emit",
    "given_settings",
    "global_options",
    "hoisted",
    "json_option",
    "key_header",
    "run",
    "settings_of",
]

T = TypeVar("T")
C = TypeVar("C", bound=click.Command)

_SHORT = {
    "bootstrap_servers": "Kafka brokers, host:port with commas between.",
    "prefix": "What every topic's name begins with.",
    "partitions": "Number of shards.",
    "retention": "How long a stopped source stays hot: P3M, PT20S.",
    "data_dir": "Folder of the local stores.",
    "http_host": "Where the worker listens.",
    "http_port": "Port of the worker.",
    "url": "Worker that commands ask, such as https://worker-1.example:6066.",
}
_FLAGS = {f"--{name.replace('_', '-')}": name for name in _SHORT}
_MORE = ("--set", "--config")

RESERVED = (*_FLAGS, *_MORE)
"""Options that belong to the whole command line: no command has one of these names."""


def global_options(group: C) -> C:
    """Add the settings flags to the group, and the callback that turns them into settings."""
    options: list[click.Parameter] = [
        click.Option([flag], metavar="VALUE", help=_SHORT[name]) for flag, name in _FLAGS.items()
    ]
    options.append(
        click.Option(
            ["--set", "pairs"],
            multiple=True,
            metavar="NAME=VALUE",
            help="Any setting; `emberline settings` lists them. May be repeated.",
        )
    )
    options.append(
        click.Option(
            ["--config"],
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Settings file, instead of emberline.toml.",
        )
    )
    options.append(click.Option(["--verbose"], is_flag=True, help="Show what libraries log."))
    group.params.extend(options)
    group.callback = _remember
    return click.version_option(package_name="emberline", message="%(prog)s %(version)s")(group)


def _remember(
    pairs: tuple[str, ...], config: Path | None, verbose: bool, **flags: str | None
) -> None:
    ctx = click.get_current_context()
    # read when a command asks: `--help` must work with a settings file that does not
    ctx.obj = _Given({**flags, **_pairs(pairs)}, config)
    handler = logging.StreamHandler()
    handler.setFormatter(Plain(_LOG))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    if not verbose:
        # its retries are ours to tell, in one line, when they have come to nothing
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


_ANY = ("0.0.0.0", "::")
_LOG = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _Given:
    def __init__(self, flags: Mapping[str, object], config: Path | None) -> None:
        self._flags = flags
        self._config = config
        self._settings: Settings | None = None

    def settings(self) -> Settings:
        if self._settings is None:
            # by its whole name one that was asked for is told from the one that lies here
            file = self._config.absolute() if self._config else Path(FOLDERS_FILE)
            self._settings = load(self._flags, file=file)
        return self._settings


def settings_of(ctx: click.Context) -> Settings:
    """The settings of this run, read once. Raises UsageError."""
    given = ctx.find_object(_Given)
    return given.settings() if given is not None else load()


def given_settings(ctx: click.Context) -> Settings:
    """The settings while a word is completed: no command runs then, only its flags are known.
    Raises UsageError.
    """
    params = ctx.find_root().params
    flags = {name: params.get(name) for name in _FLAGS.values()}
    config = params.get("config")
    return _Given({**flags, **_pairs(params.get("pairs") or ())}, config).settings()


def _pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair}: no value", remedy="Write --set NAME=VALUE")
        found[name.strip().replace("-", "_")] = value
    return found


def hoisted(args: list[str]) -> list[str]:
    """Move settings flags, with their values, to the front; arguments after `--` stay."""
    flags: list[str] = []
    others: list[str] = []
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            others += [arg, *rest]
        elif arg in RESERVED:
            flags += [arg, *([value] if (value := next(rest, None)) is not None else [])]
        elif arg.startswith(tuple(f"{flag}=" for flag in RESERVED)):
            flags.append(arg)
        else:
            others.append(arg)
    return flags + others


class Word(click.Choice[str]):
    """One of a few words, in any case; for another word the nearest is suggested."""

    def __init__(self, words: Iterable[str]) -> None:
        super().__init__(list(words), case_sensitive=False)

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """The error, with the nearest word."""
        return f"there is no {str(value)[:80]!r}. {hint(str(value), self.choices)}"


def json_option(function: Callable[..., T]) -> Callable[..., T]:
    """Add `--json` to a command (parameter `as_json`): facts for programs instead of people."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def key_header(settings: Settings) -> dict[str, str]:
    """The header with the key of these settings, if they have one.

    Raises UsageError if the target address comes from a settings file of the current folder and the
    key does not.
    """
    if not settings.api_key:
        return {}
    host = (urlsplit(settings.url).hostname or "") if settings.url else settings.http_host
    if host not in _ANY and not is_loopback(host):
        targets = ("url",) if settings.url else ("http_host", "http_port")
        check_target(settings, "api_key", *targets, "http_ca_file")
    return {"Authorization": f"Bearer {settings.api_key}"}


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    return asyncio.run(work)
