"""The page of the decisions in the audit."""

from collections.abc import Mapping

from agents.reference import fields
from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from schemas.records.lifecycle import CommandType

__all__ = ["DECISIONS", "page"]

_BEFORE: Mapping[str, str] = {
    "state": "a source has another state because of its definition, its uses or a hold",
    "due": "a stopped source expires at another time than before; `detail` has it",
    "referenced": "an active definition begins to use the source",
    "referenced_while_hidden": "an active definition uses a source whose data is archived: queries "
    "that need it are refused until it is restored",
    "released": "the last use of the source has ended",
    "deleted": "the definition was deleted: the source counts as stopped",
    "resumed_while_hidden": "the source is active again while its data is archived; `detail` says "
    "whether it is restored",
    "unknown_source_seen": "events name a source without a definition: it stays hot",
    "unreadable_definition": "a definition cannot be read: the former one is kept, and the sources "
    "that the new one names stay hot",
    "unreadable_filter": "the filter of a definition cannot be read: the former uses are kept",
    "older_definition_ignored": "a definition has an older `updated_at` than the one before",
    "expiring": "the source begins to move to the archive",
    "expired": "its data is in the archive",
    "expiry_cancelled": "a cancelled expiry has ended: its data is available",
    "restoring": "the source begins to come back from the archive",
    "restore_after_expiry": "the source is restored as soon as it has expired",
    "restore_cancelled": "a restore was cancelled: its data is in the archive again",
    "restore_failed": "a shard cannot bring its part back: `reason` has the code, `detail` the "
    "record and the remedy; the source returns to the archive",
    "returned_to_archive": "a restore has failed, and its data is in the archive again",
    "archive_mended": "an expiry has read back a damaged record, and has copied the hot data once "
    "more; `detail` names the record",
    "stuck": "shards have not reported in time, or cannot go on; `reason` names them and the "
    "remedy",
    "hold": "an operator holds the source",
    "unhold": "an operator has released the source",
    "erase": "users are erased; `detail` says how many",
    "imported": "an import has begun: the retention of its sources runs from now",
    "sweep_paused": "the sweep is paused",
    "sweep_resumed": "the sweep goes on",
    "sweep_awaits_confirmation": "a sweep of too many sources waits; `detail` has its ID",
    "sweep_confirmed": "an operator has confirmed a sweep",
    "sweep_suspended": "nothing expires: the clocks differ too much, or the topic of the archive "
    "would lose what moves to it",
    "sweep_continued": "the clocks agree again, or the archive is safe again, and sweeps run",
    "request_repeated": "a request came again with the same id: nothing was done twice",
    "report_ignored": "a report names a shard that does not exist",
    "foreign_state_overwritten": "another program wrote to `lifecycle.state`; its record was "
    "replaced",
    "notice_failed": "a message could not be delivered; `reason` says to whom and why",
    "skip": "`emberline topics skip` has left a batch out",
}
DECISIONS: Mapping[str, str] = {
    **_BEFORE,
    **{
        f"{kind}_refused": f"the command {kind} was refused; `reason` has the code"
        for kind in CommandType
    },
    "command_refused": "a command that cannot be read was refused",
}
"""The field `decision` of the audit -> what it means."""


def page() -> Page:
    """Every decision, and the fields of an entry."""
    return Page(
        "decisions",
        "Decisions in the audit",
        ABOUT["decisions"],
        (
            Section(
                text=(
                    "emberline writes every decision and refusal to the topic "
                    "`lifecycle.audit`, which is kept for ever. `emberline audit` and `GET /audit` "
                    "show them; `?decision=` selects one of these words.",
                ),
                table=Table(
                    ("decision", "meaning"),
                    tuple((f"`{word}`", meaning) for word, meaning in DECISIONS.items()),
                ),
            ),
            Section("Fields of an entry", table=fields.table("audit")),
        ),
    )
