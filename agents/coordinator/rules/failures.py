"""Why a shard cannot do its work for a source, with the remedy. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from agents.coordinator.rules.decision import DecisionBuilder
from schemas.records.lifecycle import Failure, FailureCode, ReportItem

__all__ = ["MEANINGS", "REMEDIES", "failure"]

MEANINGS: Mapping[FailureCode, str] = {
    FailureCode.ARCHIVE_MISSING: "the archive topic no longer has the record of a segment",
    FailureCode.ARCHIVE_DAMAGED: "the record of a segment in the archive topic is damaged",
    FailureCode.ARCHIVE_FOREIGN: "the archive topic has another record in the place of a segment",
    FailureCode.ARCHIVE_SILENT: "no broker answered for the archive topic in time",
    FailureCode.ARCHIVE_UNSAFE: "the archive topic would lose what moves to it: its retention is "
    "finite, or it has another clean-up policy",
    FailureCode.SEGMENT_DAMAGED: "a hot segment is damaged in the changelog topic",
}
"""What each code means."""

_BACKUP = "Restore this record of the archive topic from a replica or a backup"
REMEDIES: Mapping[FailureCode, str] = {
    FailureCode.ARCHIVE_MISSING: f"{_BACKUP}, then restore the source again",
    FailureCode.ARCHIVE_DAMAGED: f"{_BACKUP}, then restore the source again",
    FailureCode.ARCHIVE_FOREIGN: f"{_BACKUP}, then restore the source again",
    FailureCode.ARCHIVE_SILENT: "Check that the brokers run, and that this partition has a leader; "
    "the shard tries again by itself",
    FailureCode.ARCHIVE_UNSAFE: "Correct the topic as the detail says; the data stays hot, and the "
    "shard goes on by itself",
    FailureCode.SEGMENT_DAMAGED: "Restore the record from a replica or a backup of the topic, and "
    "start the worker again",
}
"""What a person does about each code."""


def failure(
    builder: DecisionBuilder,
    shard: int,
    item: ReportItem,
    former: Failure | None = None,
    *,
    final: bool = False,
) -> Failure:
    """The failure that a shard reports; since when it is so stays with the same failure."""
    known = {code.value for code in FailureCode}
    remedy = REMEDIES[FailureCode(item.code)] if item.code in known else ""
    found = Failure(
        code=item.code,
        shard=shard,
        place=item.place,
        segment=item.segment,
        detail=item.detail,
        remedy=remedy,
        since=builder.now,
        final=final,
    )
    if former is not None and replace(former, since=found.since) == found:
        return former
    return found
