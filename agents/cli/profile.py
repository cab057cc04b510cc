"""`emberline profile`: one user, from a running worker."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import click

from agents.cli.calling import asked, segment
from agents.cli.options import Word, emit, json_option, run, settings_of
from agents.terminal.amounts import size
from agents.terminal.say import say
from agents.terminal.table import show
from schemas.words.plural import plural
from streams.settings import Settings

__all__ = ["command", "read"]

_SHOWN = 20
"""So many merged ids are named."""


@click.command("profile", help="Show what USER received and did, and what expired sources hide.")
@click.argument("user")
@click.option(
    "--by",
    type=Word(["user", "external", "alias"]),
    help="What USER is.  [default: a user id, else an external id, else an alias]",
)
@click.option("--label", help="The alias's label: name and label identify together.")
@click.option(
    "--through-archive",
    is_flag=True,
    help="Also read what expired sources have of the user, in the archive: nothing is restored.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    user: str,
    by: str | None,
    label: str | None,
    through_archive: bool,
    as_json: bool,
) -> None:
    """The worker's complete answer, or an error."""
    found = run(read(settings_of(ctx), user, by, label, through_archive=through_archive))
    if as_json:
        emit(found)
    else:
        _show(found)


async def read(
    settings: Settings,
    user: str,
    by: str | None,
    label: str | None = None,
    *,
    through_archive: bool = False,
) -> dict[str, Any]:
    """The profile. Raises Fatal or Recoverable if there is none."""
    given = {name: value for name, value in (("by", by), ("label", label)) if value is not None}
    if through_archive:
        given["through_archive"] = "true"
    path = f"/users/{segment(user, 'POST /users/export/ids has the id in its body')}"
    return await asked(settings, "GET", f"{path}?{urlencode(given)}" if given else path)


def _show(found: Mapping[str, Any]) -> None:
    called = [f"user {found['user_id']}"]
    if found["external_user_id"] is not None:
        called.append(f"external id {found['external_user_id']}")
    called += [f"alias {alias}" for alias in found["aliases"]]
    called += [f"alias {a['alias_name']} ({a['alias_label']})" for a in found["user_aliases"]]
    say(", ".join(called))
    if found["merged_from"] is not None:
        say(f"{found['merged_from']} was merged into this user")
    if found["merged_users"]:
        say(f"With the data of merged ids: {_shortened(found['merged_users'])}")
    _show_received(found)
    say()
    say(f"Signals: {', '.join(_signals(found['signals'])) or 'none'}")
    say(f"Feed views: {found['feed_views']['count']:,}")
    if found["through_archive"] is None:
        _warn(found["excluded_expired"])
    else:
        _show_archived(found["through_archive"])


def _show_received(found: Mapping[str, Any], where: str = "") -> None:
    for title, name in (
        ("Campaigns Received", "campaigns_received"),
        ("Canvas Messages Received", "canvas_messages_received"),
    ):
        say()
        say(f"{title}{where}: {len(found[name])}")
        if found[name]:
            head = ("source", "name", "last received", "variations", "steps", "did")
            show(head, [_row(entry) for entry in found[name]])


def _show_archived(archived: Mapping[str, Any]) -> None:
    _show_received(archived, " of expired sources")
    read = archived["read"]
    sources = plural(read["sources"], "source")
    segments = plural(read["segments"], "segment")
    say()
    say(
        f"Read in the archive: {read['sources']:,} {sources}, {read['segments']:,} {segments}, "
        f"{size(read['bytes'])}"
    )
    for each in archived["damaged"]:
        say(f"Missing, of {each['source']}: {each['what']}", err=True)


def _row(entry: Mapping[str, Any]) -> tuple[object, ...]:
    did = [
        name.replace("_", " ")
        for name in ("opened", "machine_opened", "clicked", "bot_clicked", "converted")
        if entry[name]
    ]
    did += ["in control"] if entry["in_control"] else []
    did += ["exited"] if entry["exited"] else []
    received = entry["received"]
    return (
        entry["source"],
        entry["name"],
        None if received is None else _short(received["last"]),
        _names(entry["variations"]),
        _names(entry.get("steps", ())),
        ", ".join(did),
    )


def _shortened(users: Sequence[str]) -> str:
    more = f" and {len(users) - _SHOWN:,} more" if len(users) > _SHOWN else ""
    return ", ".join(users[:_SHOWN]) + more


def _short(moment: str) -> str:
    """A time for tables: without milliseconds."""
    day, _, time = moment.partition("T")
    return f"{day} {time.partition('.')[0].removesuffix('Z')}Z"


def _names(parts: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(part["name"] for part in parts)


def _signals(signals: Mapping[str, Any]) -> list[str]:
    found = [
        f"{name.replace('_', ' ')} {signals[name]}"
        for name in ("hard_bounced", "marked_spam", "invalid_phone")
        if signals[name] is not None
    ]
    found += [f"keyword {each['category']} {each['last']}" for each in signals["inbound_keywords"]]
    return found + [f"flag {each['id']}" for each in signals["feature_flags"]]


def _warn(excluded: Mapping[str, Any]) -> None:
    if excluded["sources"]:
        names = ", ".join(f"{each['source']} ({each['state']})" for each in excluded["sources"])
        entries = plural(excluded["entries"], "entry", "entries")
        say(f"Hidden by expired sources: {excluded['entries']} {entries}: {names}", err=True)
    if excluded["unchecked"]["count"]:
        count = excluded["unchecked"]["count"]
        some = plural(count, "archived source")
        them = plural(count, "it", "them")
        ways = f"restore {them}, or ask with --through-archive"
        say(f"{count} {some} may hide more: {ways}", err=True)
