"""The top rule: `(state, inputs, now) -> (state', outputs)`."""

from collections.abc import Sequence

from agents.coordinator.rules import catalog, commands, reports, retention_sweep
from agents.coordinator.rules.decision import Decision, DecisionBuilder
from agents.coordinator.rules.inputs import (
    ArchiveFault,
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
from agents.coordinator.rules.reconcile import reconcile_all
from agents.coordinator.rules.state import CoordinatorState

__all__ = ["decide"]


def decide(state: CoordinatorState, inputs: Sequence[Input], now: int, policy: Policy) -> Decision:
    """Process `inputs`, in order, at the moment `now` (UTC ms).

    Adjacent catalog records are reconciled together, before anything else is decided.
    """
    builder = DecisionBuilder(state, policy, now)
    for item in inputs:
        builder.trace = _trace_of(item)
        match item:
            case DefinitionRead():
                builder.catalog_traces.add(builder.trace)
                catalog.read(builder, item)
                continue
            case DefinitionUnreadable():
                builder.catalog_traces.add(builder.trace)
                catalog.unreadable(builder, item)
                continue
            case CatalogSnapshot():
                catalog.deleted_while_away(builder, item)
                continue
        reconcile_all(builder)
        match item:
            case CommandRead():
                commands.read(builder, item)
            case CommandUnreadable():
                commands.unreadable(builder, item)
            case ReportRead():
                reports.read(builder, item.report)
            case StateForeign():
                reports.foreign(builder, item)
            case ArchiveFault():
                retention_sweep.archive_fault(builder, item.what)
            case Tick():
                retention_sweep.tick(builder, item.skew_ms)
    reconcile_all(builder)
    return builder.finish()


def _trace_of(item: Input) -> str:
    match item:
        case DefinitionRead() | DefinitionUnreadable() | CommandRead() | CommandUnreadable():
            return item.trace
    return ""
