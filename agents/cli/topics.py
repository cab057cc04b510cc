"""`emberline topics`: create, compare and read the topics."""

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from agents.cli.group import Words
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.cli.tail import TailLine, tail
from agents.reference.asyncapi import document
from agents.reference.rights import ROLES, commands_of, rights
from agents.reference.rights import as_json as right_json
from agents.terminal.say import say
from streams.kafka.environment import Environment
from streams.kafka.topics import check, create, repair

if TYPE_CHECKING:
    from agents.tools.skip import Skipped

__all__ = ["command", "skipped_line"]


@click.group("topics", cls=Words, help="Make, compare and read emberline's topics.")
def command() -> None:
    """Nothing by itself."""


@command.command("create", help="Make the topics that are missing, with the right settings.")
@json_option
@click.pass_context
def create_topics(ctx: click.Context, as_json: bool) -> None:
    """Of existing topics it changes only settings that are safe to change; `check` shows the
    others.
    """
    made = run(create(settings_of(ctx)))
    mended = run(repair(settings_of(ctx)))
    if as_json:
        emit({"created": made, "repaired": [asdict(problem) for problem in mended]})
        return
    for name in made:
        say(f"created {name}")
    for problem in mended:
        say(f"{problem.topic}: set {problem.setting} to {problem.expected}")
    if not made and not mended:
        say("all topics exist already")


@command.command("check", help="Compare the topics with what they should be; exit code 1 if not.")
@json_option
@click.pass_context
def check_topics(ctx: click.Context, as_json: bool) -> None:
    """One line for each problem, with its remedy."""
    problems = run(check(settings_of(ctx)))
    if as_json:
        emit({"ok": not problems, "problems": [asdict(problem) for problem in problems]})
    elif not problems:
        say("all topics are as they should be")
    else:
        for problem in problems:
            say(f"{problem}. {problem.remedy}")
    ctx.exit(1 if problems else 0)


@command.command(
    "skip",
    help="Pass over records that were deleted before they were read, or, with --at, over one batch "
    "that cannot be read. emberline never takes them in. Stop all workers first.",
)
@click.option(
    "--at",
    metavar="TOPIC:PARTITION:OFFSET",
    help="Only the batch there, which is to be read next; its bytes go to rejected.",
)
@click.option("--reason", default="", help="With --at: why, for the audit.")
@click.option("--yes", is_flag=True, help="Confirm the action without prompting.")
@json_option
@click.pass_context
def skip_lost(ctx: click.Context, at: str | None, reason: str, yes: bool, as_json: bool) -> None:
    """Cursors outside of their log move to its beginning. Stop all workers first."""
    # here, as they load what shards are made of, and the other commands on topics need none of it
    from agents.tools.skip import Skipped, skip
    from agents.tools.skip_batch import parse_at, skip_batch

    settings = settings_of(ctx)
    batch = None if at is None else parse_at(settings, at)
    if not yes:
        click.confirm(
            "Records that were not read yet will never be. Are all workers stopped?", abort=True
        )
    if batch is not None:
        passed = run(skip_batch(Environment.of(settings), batch, reason))
        if as_json:
            emit({"skipped": [asdict(passed)]})
        else:
            say(skipped_line(Skipped(passed.topic, passed.partition, passed.first, passed.to)))
        return
    lost = run(skip(Environment.of(settings)))
    if as_json:
        emit({"skipped": [asdict(one) for one in lost]})
        return
    for one in lost:
        say(skipped_line(one))
    if not lost:
        say("nothing is lost: every cursor lies in its log")


def skipped_line(one: "Skipped") -> str:
    """The move of a cursor, as a line."""
    where = f"{one.topic}[{one.partition}]"
    if one.first < one.to:
        return f"{where}: skipped offsets {one.first} to {one.to - 1}"
    return (
        f"{where}: offset {one.first} was to be read next of a log that was created again since: "
        f"it is read from its beginning, offset {one.to}"
    )


@command.command("asyncapi", help="Print the AsyncAPI document of the topics and their records.")
@json_option
@click.pass_context
def describe_topics(ctx: click.Context, as_json: bool) -> None:
    """For people it is indented. It needs no broker and no worker: the settings are enough."""
    found = document(settings_of(ctx))
    if as_json:
        emit(found)
    else:
        for line in json.dumps(found, indent=2, ensure_ascii=False).splitlines():
            say(line)


@command.command(
    "acls", help="Print the least rights of each role, as commands of Kafka. It needs no broker."
)
@click.option("--role", type=Word(ROLES), multiple=True, help="Only this role. May be repeated.")
@click.option(
    "--principal",
    default="",
    metavar="NAME",
    help="Who gets the rights; without it User: and the role.",
)
@click.option("--group", default="", metavar="NAME", help="The group of a consumer or a bridge.")
@click.option(
    "--topic", multiple=True, metavar="NAME", help="What a bridge reads. May be repeated."
)
@json_option
@click.pass_context
def print_acls(
    ctx: click.Context,
    role: tuple[str, ...],
    principal: str,
    group: str,
    topic: tuple[str, ...],
    as_json: bool,
) -> None:
    """A comment with the role, then its commands."""
    settings = settings_of(ctx)
    roles = {}
    for name in role or ROLES:
        who = principal or f"User:{name}"
        found = rights(settings, name, group or f"{settings.prefix}{name}", topic)
        commands = [*commands_of(found, who, settings.bootstrap_servers)]
        roles[name] = {"principal": who, "rights": [*map(right_json, found)], "commands": commands}
        if not as_json:
            say(f"# {name}: {ROLES[name]}")
            if name == "bridge" and not topic:
                say("# and Read on the topics that it reads: name them with --topic")
            for line in commands:
                say(line)
    if as_json:
        emit({"roles": roles})


@command.command("tail", help="Print a topic's last records, decoded; a record a line.")
@click.argument("topic")
@click.option("-n", "--last", type=click.IntRange(0), default=10, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with new records until Ctrl-C.")
@json_option
@click.pass_context
def tail_topic(ctx: click.Context, topic: str, last: int, follow: bool, as_json: bool) -> None:
    """TOPIC with or without the prefix. Records of open transactions are not shown."""

    def show(line: TailLine) -> None:
        if as_json:
            emit(asdict(line))
        else:
            say(line.text())
        sys.stdout.flush()

    run(tail(Environment.of(settings_of(ctx)), topic, last=last, follow=follow, show=show))
