"""`emberline audit`: every decision and refusal, with its reason."""

import click

from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.table import show, when
from schemas.errors import UsageError
from schemas.words.nearest import nearest_key
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import read_all, records_of
from streams.kafka.topics import Topics

__all__ = ["command"]


@click.command("audit", help="Show the decisions made on a source, or on all, oldest first.")
@click.argument("source", required=False)
@click.option("-n", "--last", type=click.IntRange(1), help="Only the last so many.")
@json_option
@click.pass_context
def command(ctx: click.Context, source: str | None, last: int | None, as_json: bool) -> None:
    """Entries about the whole system have no source and are shown only without SOURCE."""
    settings = settings_of(ctx)
    located = run(read_all(KafkaLog(settings), Topics(settings.prefix).audit))
    records = list(records_of(located, "audit"))
    if source is not None:
        known = {str(record["source"]): None for record in records if record["source"]}
        records = [record for record in records if record["source"] == source]
        if not records:
            near = nearest_key(source, known)
            hint = f"Did you mean {near}?" if near else "`emberline status` lists the sources"
            raise UsageError(f"Nothing was decided on {source[:80]!r}", remedy=hint)
    records = records[-last:] if last else records
    if as_json:
        for record in records:
            emit(record)
        return
    show(
        ("time", "source", "decision", "from", "to", "by", "reason", "detail"),
        [
            (
                when(_number(r["time"])), r["source"], r["decision"], r["from_state"],
                r["to_state"], r["by"], r["reason"], r["detail"],
            )
            for r in records
        ],
    )  # fmt: skip


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None
