"""`emberline verify`: whether the data is whole."""

from itertools import groupby

import click

from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.amounts import period, size
from agents.terminal.progress import LiveLine
from agents.terminal.say import say
from agents.terminal.table import prose
from agents.verify.report import VerifyReport
from agents.verify.verify import VerifyProgress, verify
from schemas.words.plural import counted
from streams.kafka.environment import Environment

__all__ = ["command", "show"]

_SHOWN = 20
"""Findings of one kind that are printed; `--json` has more."""


@click.command(
    "verify",
    help="Prove that the data is whole: compare archive, changelog and manifest, record by record.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Works while workers run, and without any. Changes nothing. Exit code 0 if everything is
    whole, 1 if damage was found.
    """
    environment = Environment.of(settings_of(ctx))
    with LiveLine("verify", "records", quiet=as_json) as line:

        def progress(at: VerifyProgress) -> None:
            if line.due:
                line.show(at.done, at.total)

        report = run(verify(environment, progress=progress))
    if as_json:
        emit(report.to_json())
    else:
        show(report)
    ctx.exit(0 if report.whole else 1)


def show(report: VerifyReport) -> None:
    """The report for people."""
    ordered = sorted(report.findings, key=lambda one: one.kind)
    for kind, some in groupby(ordered, key=lambda one: one.kind):
        findings = list(some)
        say(f"{kind}: {report.counts[kind]:,}", bold=True)
        for finding in findings[:_SHOWN]:
            prose(f"{finding.where}: {finding.what}", "  ")
        if report.counts[kind] > _SHOWN:
            prose(f"and {report.counts[kind] - _SHOWN:,} more; `--json` names them", "  ")
        for remedy in dict.fromkeys(finding.remedy for finding in findings[:_SHOWN]):
            prose(f"Remedy: {remedy}.", "  ")
    for text in report.unchecked:
        prose(f"Not checked: {text}.")
    figures = report.figures
    prose(
        f"Compared {counted(figures['shards'], 'shard')}, "
        f"{counted(figures['hot_segments'], 'hot segment')}, "
        f"{counted(figures['archived_segments'], 'archived segment')} "
        f"({figures['archived_rows']:,} rows, {size(figures['archived_bytes'])}) "
        f"in {period(report.seconds)}."
    )
    total = report.counts.total()
    say("Everything is whole." if report.whole else f"Damage: {counted(total, 'finding')}.")
