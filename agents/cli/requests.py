"""The operators' commands. Each sends a request to the coordinator; they differ only in a word and
a help text.
"""

from collections.abc import Callable
from typing import Any, BinaryIO

import click

from agents.cli.asking import carry_out, request_options, sources_argument, sources_in
from agents.cli.options import run, settings_of

__all__ = ["cancel", "confirm", "expire", "hold", "pause", "restore", "resume", "unhold"]

Decorator = Callable[[Any], Any]


def _about_sources(kind: str, text: str, *options: Decorator) -> click.Command:
    """A command about the sources that it names; `options` are its own options, which precede the
    common ones.
    """

    def callback(
        ctx: click.Context,
        /,
        sources: tuple[str, ...],
        tag: str | None,
        file: BinaryIO | None,
        **given: Any,
    ) -> None:
        listed = () if file is None else sources_in(file)
        carry_out(ctx, kind, (*sources, *listed), tag=tag, **given)

    return _command(kind, text, callback, (sources_argument, *options))


def _about_sweep(kind: str, text: str) -> click.Command:
    """A command about the retention sweep, without sources."""

    def callback(ctx: click.Context, /, **given: Any) -> None:
        carry_out(ctx, kind, needs_sources=False, **given)

    return _command(kind, text, callback, ())


def _about_question(kind: str, text: str) -> click.Command:
    """A command about one confirmation that the retention sweep asks for."""

    def callback(ctx: click.Context, /, question: str | None, **given: Any) -> None:
        # Kafka, which only a command that runs needs
        from agents.cli.confirming import confirmed

        named = run(confirmed(settings_of(ctx), question))
        carry_out(ctx, kind, (named,), needs_sources=False, **given)

    argument = click.argument("question", required=False, metavar="[ID]")
    return _command(kind, text, callback, (argument,))


def _command(
    kind: str, text: str, callback: Callable[..., None], own: tuple[Decorator, ...]
) -> click.Command:
    decorated: Any = click.pass_context(callback)
    for decorator in (request_options, *reversed(own)):
        decorated = decorator(decorated)
    made: click.Command = click.command(kind, help=text)(decorated)
    return made


restore = _about_sources(
    "restore",
    "Bring archived sources back from the archive.",
    click.option(
        "--notify",
        "--notify-email",
        "notify",
        metavar="ADDRESS",
        multiple=True,
        help="Address of mail that gets one message when the request is over. May be repeated.",
    ),
)
cancel = _about_sources(
    "cancel",
    "Cancel restores under way, by source or request id; or an expiry, by source: also one "
    "that hangs in a shard. What is in the archive already comes back, and the source is hot.",
)
hold = _about_sources(
    "hold",
    "Keep sources hot until they are released; with --legal as evidence.",
    click.option(
        "--legal",
        is_flag=True,
        help="A legal hold, with --reason: its sources neither expire nor are erased. If a key "
        "proves who set it, over HTTP, only another key's owner may release it.",
    ),
)
unhold = _about_sources("unhold", "Release sources from a hold.")
expire = _about_sources("expire", "Move sources to the archive now, whatever their date.")
pause = _about_sweep("pause", "Pause the sweep: nothing expires by itself.")
resume = _about_sweep("resume", "Let a paused sweep go on. It confirms nothing: see `confirm`.")
confirm = _about_question(
    "confirm",
    "Let a large sweep expire exactly what it asked about. Without ID the sources are shown, and "
    "you are asked; `emberline status` has the ID, and its first 4 characters are enough. Whatever "
    "changes in those sources makes the sweep ask again.",
)
