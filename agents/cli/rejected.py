"""`emberline rejected list`: events that could not be taken in, and why."""

from collections import Counter

import click

from agents.cli.group import Words
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.cli.table import show, when
from agents.topic_reader import Located, read_all
from schemas.undecodable import REMEDIES
from streams.topics import Topics

__all__ = ["command"]


@click.group("rejected", cls=Words, help="Look at events that could not be taken in.")
def command() -> None:
    """Nothing by itself."""


@command.command("list", help="Show rejected events: where they were and why they are not in.")
@click.option("--code", type=Word(REMEDIES), help="Only those with this reason code.")
@click.option("-n", "--last", type=click.IntRange(1), help="Only the last so many.")
@json_option
@click.pass_context
def list_rejected(ctx: click.Context, code: str | None, last: int | None, as_json: bool) -> None:
    """Topic, partition and offset are those of the original record."""
    settings = settings_of(ctx)
    located = sorted(
        run(read_all(settings, Topics(settings.prefix).rejected)),
        key=lambda one: one[2].timestamp,
    )
    rows = [row for row in map(_row, located) if code is None or row["code"] == code]
    rows = rows[-last:] if last else rows
    if as_json:
        for row in rows:
            emit(row)
        return
    head = ("time", "topic", "partition", "offset", "code", "detail")
    show(head, [(when(int(row["time"])), *(row[name] for name in head[1:])) for row in rows])
    counts = Counter(row["code"] for row in rows)
    click.echo()
    click.echo(", ".join(f"{n:,} {name}" for name, n in sorted(counts.items())) or "none")


def _row(located: Located) -> dict[str, str]:
    _, _, record = located
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    row = {name: headers.get(name, "") for name in ("topic", "partition", "offset", "code")}
    key = (record.key or b"").decode(errors="replace")
    return row | {"detail": headers.get("detail", ""), "key": key, "time": str(record.timestamp)}
