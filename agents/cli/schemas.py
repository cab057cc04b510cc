"""`emberline schemas`: our schemas in a registry, and the check of mappings."""

from dataclasses import asdict

import click

from agents.cli.options import Word, emit, json_option, settings_of
from agents.terminal.say import say
from agents.tools.records import TYPES, kind_of_record
from schemas.errors import Fatal, UsageError
from schemas.words.plural import counted
from streams.kafka.mappings import check_mappings
from streams.kafka.registry_subjects import (
    LEVELS,
    STRATEGIES,
    RegisteredSchema,
    SchemaSubjects,
    subject_of,
)
from streams.kafka.remote_registry import registry_of

__all__ = ["command"]

CONTROL = "command"
_WORDS = {"present": "is there", "registered": "registered", "new": "would be registered"}


@click.group("schemas", help="Put our schemas into a schema registry, and check mappings.")
def command() -> None:
    """The subcommands."""


@command.command("register", help="Register the schemas of TYPES, all without any, for producers.")
@click.argument("types", nargs=-1, type=Word([*TYPES, CONTROL]))
@click.option(
    "--strategy",
    type=Word(STRATEGIES),
    default="topic",
    show_default=True,
    help="How subjects are named: TOPIC-value, the record's name, or both.",
)
@click.option(
    "--compatibility",
    type=Word(LEVELS),
    default=None,
    help="Set the compatibility of these subjects first.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
@click.pass_context
def register(
    ctx: click.Context,
    types: tuple[str, ...],
    strategy: str,
    compatibility: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """The registry is that of the settings. What is there already stays; if a subject holds a
    schema that ours cannot follow, nothing is written.
    """
    settings = settings_of(ctx)
    remote = registry_of(settings)
    if remote is None:
        raise UsageError("There is no schema registry", remedy="Set schema_registry_url")
    subjects = {}
    for name in dict.fromkeys(types or (*TYPES, CONTROL)):
        topic = "control" if name == CONTROL else kind_of_record(name).topic
        subjects[subject_of(strategy, settings.prefix + topic, name)] = name
    registry = SchemaSubjects(remote.caller)
    found = registry.register(subjects, level=compatibility or "", dry_run=dry_run)
    if as_json:
        emit({"subjects": [asdict(one) for one in found]})
    else:
        for one in found:
            _say(one)
    if bad := [one for one in found if one.outcome == "conflict"]:
        raise Fatal(
            f"{counted(len(bad), 'subject')} cannot take our schema, and nothing was written: "
            f"{', '.join(one.subject for one in bad)[:500]}",
            remedy="If producers write their own records there, write a mapping "
            "(docs/mappings.md); else name subjects with another --strategy",
        )


def _say(one: RegisteredSchema) -> None:
    place = f" as id {one.id}, version {one.version}" if one.id is not None else ""
    level = f" ({one.level})" if one.level else ""
    say(f"{one.subject}: {one.record} {_WORDS.get(one.outcome, 'is in conflict')}{place}{level}")
    for why in one.why:
        say(f"  {why}")


@command.command("check", help="Check the mappings of the setting mappings_file.")
@json_option
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """Each is compared with the producer's schema, as a worker does when it starts."""
    found = check_mappings(settings_of(ctx))
    if as_json:
        emit({"mappings": [asdict(one) for one in found]})
        return
    for one in found:
        names = f" ({', '.join(one.names)})" if one.names else ""
        compared = "fits" if one.compared else "is not compared:"
        say(f"{one.kind}{names} {compared} {one.against}")
    if not found:
        say("There are no mappings: mappings_file is not set")
