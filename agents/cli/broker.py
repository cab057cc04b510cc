"""`emberline broker`: a Kafka broker for experiments, until Ctrl-C."""

import signal
from pathlib import Path

import click

from agents.cli.options import emit, json_option, settings_of
from agents.terminal.say import say
from schemas.errors import Fatal
from streams.devbroker.broker import LocalBroker

__all__ = ["command"]

_HOW = {
    "external": "is named by KAFKA_BOOTSTRAP_SERVERS and left as it is",
    "reused": "was already up",
    "java": "is up",
    "docker": "is up, in a container",
}


@click.command("broker", help="Run a Kafka broker on this machine until Ctrl-C.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data, log and address of the broker.  [default: DATA_DIR/broker]",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=9092,
    show_default=True,
    help="Port, if it is free; any other if not.",
)
@click.option("--keep", is_flag=True, help="Leave the broker running and return.")
@json_option
@click.pass_context
def command(ctx: click.Context, folder: Path | None, port: int, keep: bool, as_json: bool) -> None:
    """Start or find a broker, print its address, wait for its end."""
    folder = folder or settings_of(ctx).data_dir / "broker"
    # the default action of SIGTERM would leave no time for an orderly end
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    broker = LocalBroker(folder, port=port, keep=keep, say=lambda said: say(said, err=True))
    with broker:
        facts = {
            "bootstrap_servers": broker.bootstrap_servers,
            "how": broker.how,
            "pid": broker.pid,
            "folder": str(broker.folder),
        }
        if as_json:
            emit(facts)
        else:
            say(f"Kafka at {broker.bootstrap_servers} {_HOW[broker.how or 'java']}")
        if keep or broker.how in ("external", "reused"):
            if not as_json and broker.pid:
                say(f"It runs until you end process {broker.pid}")
            return
        if not as_json:
            say("Ctrl-C ends it")
        try:
            code = broker.wait()
        except KeyboardInterrupt:
            return  # as we said
        raise Fatal(f"The broker has ended by itself ({code})", remedy=f"See {broker.log}")
