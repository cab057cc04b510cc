"""What the reason of an entry of the audit says, as facts for programs. Pure.

The coordinator writes reasons as sentences (agents/coordinator/rules/reconcile.py, transitions.py),
and the topic is kept for ever, so old entries are read here in the same way as new ones.
"""

from collections.abc import Mapping
from typing import Any

from agents.coordinator.rules.retention import due_reason
from agents.coordinator.rules.state import Why
from schemas.records.lifecycle import CommandRefusal

__all__ = ["REFUSALS", "WHYS", "audit_facts"]

WHYS = tuple(why.value for why in Why)
REFUSALS = tuple(code.value for code in CommandRefusal)
_USED, _NO_LONGER, _HELD = "used by ", "no longer used by ", "held by "
_PERSONAL = frozenset({"hold", "unhold", "imported"})
"""Decisions whose reason an operator wrote."""


def audit_facts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of an entry; None for each that it does not have.

    `why` is a value of `Why`, `refusal` the code of a refused command, `used_by` the key of the
    definition that uses the source or used it, `held_by` who holds it, `since` and `period` what a
    due time is computed from, `due_at` the due time, and `note` what an operator wrote.
    """
    decision, reason = entry["decision"], entry["reason"] or ""
    due = due_reason(reason)
    return {
        "why": reason if reason in WHYS else None,
        "refusal": reason if decision.endswith("_refused") and reason in REFUSALS else None,
        "used_by": _user(decision, reason),
        "held_by": _holder(decision, reason),
        "since": None if due is None else due.since,
        "period": None if due is None else due.period,
        "due_at": _moment(entry["detail"]) if decision == "due" else None,
        "note": reason or None if decision in _PERSONAL else None,
    }


def _user(decision: str, reason: str) -> str | None:
    if decision == "released" and reason.startswith(_NO_LONGER):
        return reason.removeprefix(_NO_LONGER)
    if decision in ("state", "referenced", "referenced_while_hidden") and reason.startswith(_USED):
        chain, _, _ = reason.removeprefix(_USED).rpartition(" (")
        return chain.partition(" through ")[0] or None
    return None


def _holder(decision: str, reason: str) -> str | None:
    held = decision == "state" and reason.startswith(_HELD)
    return reason.removeprefix(_HELD) if held else None


def _moment(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
