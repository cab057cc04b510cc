"""`emberline verify`: whether the data is whole."""

from dataclasses import asdict
from itertools import groupby

import click

from agents.cli.options import emit, json_option, run, settings_of
from agents.terminal.amounts import period, size
from agents.terminal.progress import LiveLine
from agents.terminal.say import say
from agents.terminal.table import prose
from agents.verify.rebuild import Mend, plan_rebuild, write_rebuild
from agents.verify.report import VerifyReport
from agents.verify.verify import VerifyOptions, VerifyProgress, verify
from schemas.errors import UsageError
from schemas.words.plural import counted
from streams.kafka.environment import Environment
from streams.kafka.topic_specs import Topics

__all__ = ["command", "show"]

_SHOWN = 20
"""Findings of one kind that are printed; `--json` has more."""


@click.command(
    "verify",
    help="Prove that the data is whole: compare archive, changelog and manifest, record by record.",
)
@click.option(
    "--against-topics",
    is_flag=True,
    help="Work out all rows again from the events that topics still have, and compare each row.",
)
@click.option(
    "--drill",
    type=click.IntRange(1),
    metavar="N",
    help="Restore N expired sources, chosen at random, into a scratch store, and compare.",
)
@click.option(
    "--rebuild",
    "rebuilds",
    is_flag=True,
    help="Show the manifest entries that are lost and that the archive gives. Changes nothing "
    "without --yes.",
)
@click.option("--yes", is_flag=True, help="With --rebuild: write them. Stop all workers first.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    against_topics: bool,
    drill: int | None,
    rebuilds: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Works while workers run, and without any. Exit code 0 if everything is whole, 1 if damage was
    found.
    """
    if yes and not rebuilds:
        raise UsageError("--yes belongs to --rebuild", remedy="Without it nothing is written")
    if rebuilds and (against_topics or drill):
        raise UsageError(
            "--rebuild compares nothing else", remedy="Leave out --against-topics and --drill"
        )
    environment = Environment.of(settings_of(ctx))
    if rebuilds:
        _rebuild(ctx, environment, write=yes, as_json=as_json)
        return
    with LiveLine("verify", "records", quiet=as_json) as line:

        def progress(at: VerifyProgress) -> None:
            if line.due:
                line.show(at.done, at.total)

        report = run(
            verify(environment, VerifyOptions(against_topics, drill or 0), progress=progress)
        )
    if as_json:
        emit(report.to_json())
    else:
        show(report)
    ctx.exit(0 if report.whole else 1)


def _rebuild(ctx: click.Context, environment: Environment, *, write: bool, as_json: bool) -> None:
    """Exit code 1 if entries are lost, and were not written."""
    done = 0
    with LiveLine("rebuild", "records", quiet=as_json) as line:

        def passed(records: int) -> None:
            nonlocal done
            done += records
            if line.due:
                line.show(done, None)

        mends = run(plan_rebuild(environment, passed=passed))
    written = run(write_rebuild(environment, mends)) if write and mends else 0
    if as_json:
        emit({"entries": [asdict(one) for one in mends], "written": written})
    else:
        for mend in mends:
            prose(_mend_line(environment, mend))
        lost = counted(len(mends), "entry", "entries")
        if not mends:
            say("No manifest entry is lost.")
        elif write:
            say(f"Wrote {written:,} of {lost}. Run `emberline verify` now.")
        else:
            prose(f"{lost} would be written. Stop all workers, and repeat this with --yes.")
    ctx.exit(1 if len(mends) > written else 0)


def _mend_line(environment: Environment, mend: Mend) -> str:
    archive = Topics(environment.settings.prefix).archive
    former = mend.former
    why = "it has no entry" if former is None else f"its entry names offset {former.offset}"
    if former is not None and former.offset == mend.entry.offset:
        why = "its entry says something else"
    return (
        f"{archive}[{mend.shard}]@{mend.entry.offset}, source {mend.source}, segment "
        f"{mend.segment}: {counted(mend.entry.rows, 'row')}, and {why}"
    )


def _absence(report: VerifyReport) -> str:
    figures = report.figures
    text = f"{counted(figures['erased_users'], 'user is', 'users are')} erased."
    if under_way := figures["erased_under_way"]:
        text += f" Open requests are still removing {counted(under_way, 'row')} of them."
    if former := figures["erased_uncompacted"]:
        text += (
            f" {counted(former, 'row')} of them are in former values of the changelog, which Kafka "
            "removes when it compacts the log."
        )
    return text


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
        f"{counted(figures['sources'], 'source')}, "
        f"{counted(figures['hot_segments'], 'hot segment')} "
        f"({counted(figures['hot_rows'], 'row')}) and "
        f"{counted(figures['archived_segments'], 'archived segment')} "
        f"({counted(figures['archived_rows'], 'row')}, {size(figures['archived_bytes'])}) "
        f"in {period(report.seconds)}."
    )
    if figures["erased_users"]:
        prose(_absence(report))
    if figures["events_read"]:
        prose(
            f"Worked out {counted(figures['rows_compared'], 'row')} from "
            f"{counted(figures['events_read'], 'event')}."
        )
    if report.drill_seconds:
        prose(
            f"Restored {counted(figures['drilled_sources'], 'source')} into scratch "
            f"({counted(figures['drilled_rows'], 'row')}, {size(figures['drilled_bytes'])}) "
            f"in {period(report.drill_seconds)}."
        )
    total = report.counts.total()
    say("Everything is whole." if report.whole else f"Damage: {counted(total, 'finding')}.")
