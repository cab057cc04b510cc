"""`emberline worker`: holds shards and answers over HTTP, until it is stopped."""

import os

import click

from agents.cli.options import emit, json_option, run, settings_of
from agents.worker import logs, native_output
from agents.worker.app import App
from agents.worker.process import work

__all__ = ["command"]


@click.command("worker", help="Run a worker until SIGTERM or Ctrl-C. Its log goes to stderr.")
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """With --json, one line on stdout when it is ready: address, pid, shards, coordinator."""
    stream = native_output.divert()
    verbose = bool(ctx.find_root().params.get("verbose"))
    # first as text: what is wrong with the settings is said before their form of the log is known
    logs.configure(verbose=verbose, stream=stream)
    settings = settings_of(ctx)
    logs.configure(verbose=verbose, stream=stream, form=settings.log_format)

    def ready(app: App) -> None:
        if as_json:
            emit(
                {
                    "address": app.context.address,
                    "pid": os.getpid(),
                    "shards": sorted(app.manager.shards),
                    "coordinator": app.manager.coordinates,
                }
            )
            click.get_text_stream("stdout").flush()

    run(work(settings, ready))
