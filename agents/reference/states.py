"""The page of the lifecycle states."""

from collections.abc import Mapping

from agents.coordinator.rules.wording import KEEPS_HOT
from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from schemas.records.lifecycle import HIDDEN, State, Status

__all__ = ["page"]

_MEANING: Mapping[State, str] = {
    State.ACTIVE: "its definition is active, or a draft",
    State.STOPPED: "its definition is stopped, archived or deleted, and nothing keeps it hot: it "
    "expires at the time `due_at`",
    State.EXEMPT: "it is stopped, and an active definition uses it: it does not expire",
    State.HELD: "an operator holds it: it does not expire until it is released",
    State.UNKNOWN: "events name it, but no definition does: it does not expire",
    State.EXPIRING: "its data moves to the archive",
    State.EXPIRED: "its data is in the archive, and no answer has it",
    State.RESTORING: "its data comes back from the archive",
}
_NEXT: Mapping[State, str] = {
    State.ACTIVE: "STOPPED, EXEMPT or HELD when the definition stops",
    State.STOPPED: "EXPIRING at `due_at` or by `emberline expire`; ACTIVE when it is resumed",
    State.EXEMPT: "STOPPED when its last use ends; the retention begins again",
    State.HELD: "the state that its definition and uses give, by `emberline unhold`",
    State.UNKNOWN: "the state that its definition gives, once there is one",
    State.EXPIRING: "EXPIRED when all shards have archived it; RESTORING by `emberline cancel`",
    State.EXPIRED: "RESTORING by `emberline restore`, or when its definition is active again "
    "(setting `restore_on_resume`)",
    State.RESTORING: "ACTIVE, STOPPED, EXEMPT or HELD when all shards have its data; EXPIRING by "
    "`emberline cancel`",
}
_STATUS: Mapping[Status, str] = {
    Status.DRAFT: "it was not started: no retention runs, and it keeps no other source hot",
    Status.ACTIVE: "it is running: its source is ACTIVE, and its filters keep other sources hot",
    Status.STOPPED: "it was stopped: the retention of its source runs",
    Status.ARCHIVED: "as STOPPED",
}


def page() -> Page:
    """States, and statuses of definitions."""
    return Page(
        "states",
        "States of a source",
        ABOUT["states"],
        (
            Section(
                text=(
                    "Each source (a campaign or a Canvas) has one state, in the topic "
                    "`lifecycle.state`, in `GET /sources` and in `emberline status`. While a state "
                    "is hidden, no answer contains data of the source: filters about it are "
                    "refused, and the error names the restore command.",
                    KEEPS_HOT,
                ),
                table=Table(
                    ("state", "its data", "meaning", "next"),
                    tuple(
                        (
                            f"`{state}`",
                            "hidden" if state in HIDDEN else "available",
                            _MEANING[state],
                            _NEXT[state],
                        )
                        for state in State
                    ),
                ),
            ),
            Section(
                "Statuses of a definition",
                ("The field `status` of a definition is one of these words, in any case.",),
                Table(
                    ("status", "meaning"),
                    tuple((f"`{status}`", _STATUS[status]) for status in Status),
                ),
            ),
        ),
    )
