"""The page of the commands on the control topic."""

from collections.abc import Mapping

from agents.coordinator.rules.bounds import MAX_SOURCES, MAX_USERS, RECIPIENTS
from agents.reference import fields
from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from schemas.records.lifecycle import CommandType, Outcome

__all__ = ["page"]

_TYPES: Mapping[CommandType, tuple[str, str]] = {
    CommandType.RESTORE: ("`sources` or `tag`", "bring sources back from the archive"),
    CommandType.HOLD: ("`sources` or `tag`", "keep sources hot until they are released"),
    CommandType.UNHOLD: ("`sources` or `tag`", "release sources from a hold"),
    CommandType.CANCEL: (
        "`sources`, request ids in `sources`, or `tag`",
        "cancel restores and expiries under way",
    ),
    CommandType.EXPIRE: ("`sources` or `tag`", "move stopped sources to the archive now"),
    CommandType.PAUSE: ("nothing", "pause the sweep: nothing expires by itself"),
    CommandType.RESUME: ("nothing", "let a paused sweep go on"),
    CommandType.CONFIRM: (
        "the ID of the sweep in `sources`",
        "let a large sweep expire exactly what it asked about",
    ),
    CommandType.IMPORTED: (
        "`sources`",
        "an import of these sources begins: their retention runs from now",
    ),
    CommandType.ERASE: (
        f"`users`, at most {MAX_USERS:,}",
        "erase users for ever: [erasure.md](../erasure.md)",
    ),
}
_OUTCOMES: Mapping[Outcome, str] = {
    Outcome.ACCEPTED: "it will be done",
    Outcome.REFUSED: "it will not be done; `code` says why",
    Outcome.PROGRESS: "it is under way",
    Outcome.COMPLETED: "it is done, or was so already",
    Outcome.FAILED: "it was begun and not done; `code` and `message` say why",
}
_EXAMPLE = '{"type": "restore", "tag": "2026", "request_id": "spring-again", "reason": "a test"}'


def page() -> Page:
    """Types, fields, outcomes."""
    return Page(
        "commands",
        "Commands",
        ABOUT["commands"],
        (
            Section(
                text=(
                    "A command is a record of the topic `control`. The command line and the HTTP "
                    "calls of [operating.md](../operating.md) write the same records. The "
                    "coordinator answers on `control.results`: one result for the whole request "
                    "(`source` is null) and one for each source. "
                    "[codes.md](codes.md) lists the codes of refusals.",
                    "`request_id` makes a command safe to repeat: within 30 days the same id is "
                    "the same request, and the same id with another command is refused. A "
                    f"command names at most {MAX_SOURCES:,} sources and {RECIPIENTS} addresses.",
                ),
                example=_EXAMPLE,
            ),
            Section(
                "Types",
                table=Table(
                    ("type", "needs", "what it does"),
                    tuple((f"`{kind}`", *_TYPES[kind]) for kind in CommandType),
                ),
            ),
            Section("Fields of a command", table=fields.table("command")),
            Section("Fields of a result", table=fields.table("result")),
            Section(
                "Outcomes",
                (
                    "After `refused`, `completed` and `failed` no further result follows for the "
                    "source, or for the whole request.",
                ),
                Table(
                    ("outcome", "meaning"),
                    tuple((f"`{outcome}`", _OUTCOMES[outcome]) for outcome in Outcome),
                ),
            ),
        ),
    )
