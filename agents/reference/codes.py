"""The page of the codes: of refused commands, rejected records, HTTP problems; exit codes."""

from collections.abc import Mapping

from agents.coordinator.rules.failures import MEANINGS as MEANINGS_FAILED
from agents.coordinator.rules.failures import REMEDIES as REMEDIES_FAILED
from agents.coordinator.rules.requests import CANCELLED
from agents.http.problem_codes import CODES
from agents.reference.page import Page, Section, Table
from agents.reference.pages import ABOUT
from schemas.records.lifecycle import CommandRefusal, FailureCode
from schemas.records.undecodable import MEANINGS, REMEDIES

__all__ = ["page"]

_REFUSALS: Mapping[CommandRefusal, tuple[str, str]] = {
    CommandRefusal.UNKNOWN_SOURCE: (
        "no definition and no event names the source, or no source has the tag",
        "Look for it with `emberline status`",
    ),
    CommandRefusal.NOT_EXPIRED: (
        "a restore: the source's data is available",
        "Nothing: it is so already",
    ),
    CommandRefusal.ALREADY_RESTORING: (
        "a restore: another restore of the source is under way",
        "Wait: `emberline restores` shows how far it is",
    ),
    CommandRefusal.NOTHING_ARCHIVED: (
        "a restore: the archive has no data of the source",
        "Nothing: the source had no data when it expired",
    ),
    CommandRefusal.LEGACY_DELETED: (
        "a restore: the source's data was deleted for good under the older policy",
        "Nothing: the data no longer exists",
    ),
    CommandRefusal.NOT_RESTORING: (
        "a cancel: nothing of the source is under way",
        "Nothing: it is so already",
    ),
    CommandRefusal.ALREADY_EXPIRED: (
        "an expire: the source has expired, or is expiring",
        "Nothing: it is so already",
    ),
    CommandRefusal.SECOND_PERSON: (
        "an unhold: the source is under a legal hold that the same person has set, or no key "
        "proves who asks",
        "Let another person release it, over HTTP, with a key of their own",
    ),
    CommandRefusal.INVALID_COMMAND: (
        "the command cannot be read, or its type, fields or size are wrong, or the state of the "
        "source does not allow it",
        "Follow `message`, which says what is wrong",
    ),
}
_EXITS = (
    ("0", "success"),
    ("1", "failure: what was asked is refused, or could not be done"),
    ("2", "wrong use: a command, an option, a value or a setting"),
    ("130", "interrupted by Ctrl-C"),
)


def page() -> Page:
    """All lists of codes."""
    return Page(
        "codes",
        "Codes",
        ABOUT["codes"],
        (
            Section(
                "Refused commands",
                (
                    "The field `code` of `control.results`, and of the sources of a request over "
                    "HTTP. Over HTTP and on the command line, what is so already is success.",
                ),
                Table(
                    ("code", "when", "what to do"),
                    (
                        *((f"`{code}`", *_REFUSALS[code]) for code in CommandRefusal),
                        (
                            f"`{CANCELLED}`",
                            "the outcome is `failed`: the work was cancelled before it was done",
                            "Ask again, if the work is still wanted",
                        ),
                    ),
                ),
            ),
            Section(
                "Failed work",
                (
                    "The field `failure.code` of `lifecycle.state` and of a source over HTTP, and "
                    "the field `code` of a failed result in `control.results`. The failure of one "
                    "record is that of the sources whose rows it has; other sources go on.",
                ),
                Table(
                    ("code", "when", "what to do"),
                    tuple(
                        (f"`{code}`", MEANINGS_FAILED[code], REMEDIES_FAILED[code])
                        for code in FailureCode
                    ),
                ),
            ),
            Section(
                "Rejected records",
                (
                    "The header `code` of a record of the topic `rejected`; "
                    "[rejected.md](../rejected.md) says more about them.",
                ),
                Table(
                    ("code", "meaning", "remedy"),
                    tuple((f"`{code}`", MEANINGS[code], REMEDIES[code]) for code in REMEDIES),
                ),
            ),
            Section(
                "Problems over HTTP",
                (
                    "The member `code` of a problem document (`application/problem+json`). "
                    "`status` and `title` are those of the table; `detail` says more.",
                ),
                Table(
                    ("code", "status", "title", "when"),
                    tuple(
                        (f"`{code}`", str(one.status), one.title, one.when)
                        for code, one in CODES.items()
                    ),
                ),
            ),
            Section("Exit codes of `emberline`", table=Table(("code", "meaning"), _EXITS)),
        ),
    )
