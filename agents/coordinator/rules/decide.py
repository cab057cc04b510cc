"""The one rule: `(world, inputs, now) -> (world', outputs)`."""

from collections.abc import Sequence

from agents.coordinator.rules import catalog, commands, reports, retention_sweep as sweep
from agents.coordinator.rules.decision import Decision, Draft
from agents.coordinator.rules.inputs import (
    CatalogSnapshot,
    CommandRead,
    CommandUnreadable,
    DefinitionRead,
    DefinitionUnreadable,
    Input,
    ReportRead,
    StateForeign,
    Tick,
)
from agents.coordinator.rules.policy import Policy
from agents.coordinator.rules.reconcile import settle_all
from agents.coordinator.rules.state import World

__all__ = ["decide"]


def decide(world: World, inputs: Sequence[Input], now: int, policy: Policy) -> Decision:
    """Take in `inputs`, in order, at the moment `now` (UTC ms).

    Catalog records next to each other are settled together, before anything else is decided.
    """
    draft = Draft(world, policy, now)
    for item in inputs:
        match item:
            case DefinitionRead():
                catalog.read(draft, item)
                continue
            case DefinitionUnreadable():
                catalog.unreadable(draft, item)
                continue
            case CatalogSnapshot():
                catalog.deleted_while_away(draft, item)
                continue
        settle_all(draft)
        match item:
            case CommandRead():
                commands.read(draft, item)
            case CommandUnreadable():
                commands.unreadable(draft, item)
            case ReportRead():
                reports.read(draft, item.report)
            case StateForeign():
                reports.foreign(draft, item)
            case Tick():
                sweep.tick(draft, item.skew_ms)
    settle_all(draft)
    return draft.finish()
