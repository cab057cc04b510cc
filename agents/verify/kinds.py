"""The kinds of damage that are found, and the remedy of each."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["MEANINGS", "REMEDIES", "FindingKind"]


class FindingKind(StrEnum):
    """One kind of damage."""

    BATCH_BROKEN = "batch_broken"
    LOG_UNREADABLE = "log_unreadable"
    ARCHIVE_FOREIGN = "archive_foreign"
    ARCHIVE_MISSING = "archive_missing"
    ARCHIVE_OTHER = "archive_other"
    ARCHIVE_DAMAGED = "archive_damaged"
    ARCHIVE_ROWS = "archive_rows"
    ARCHIVE_UNLISTED = "archive_unlisted"


_BACKUP = "Restore the partition from a replica or a backup of the topic"
_REBUILD = "Restore the shard's partition of the changelog from a backup"

MEANINGS: Mapping[FindingKind, str] = {
    FindingKind.BATCH_BROKEN: "A record batch does not match its checksum, or cannot be read.",
    FindingKind.LOG_UNREADABLE: "A partition cannot be read beyond an offset.",
    FindingKind.ARCHIVE_FOREIGN: "A record of the archive is no archived segment.",
    FindingKind.ARCHIVE_MISSING: "The manifest names an offset at which the archive has no record.",
    FindingKind.ARCHIVE_OTHER: "The record at a manifest entry's offset is another segment.",
    FindingKind.ARCHIVE_DAMAGED: "The bytes of an archived segment do not have its checksum.",
    FindingKind.ARCHIVE_ROWS: "An archived segment holds other rows than its record says.",
    FindingKind.ARCHIVE_UNLISTED: "An archived segment has no manifest entry.",
}
"""What each kind means, in one sentence."""

REMEDIES: Mapping[FindingKind, str] = {
    FindingKind.BATCH_BROKEN: f"Check the broker's disk. {_BACKUP}",
    FindingKind.LOG_UNREADABLE: f"Check that the partition has a leader. {_BACKUP}",
    FindingKind.ARCHIVE_FOREIGN: "Only workers may write to the archive: take the right to write "
    "from other programs. The record itself does no harm",
    FindingKind.ARCHIVE_MISSING: _BACKUP,
    FindingKind.ARCHIVE_OTHER: _REBUILD,
    FindingKind.ARCHIVE_DAMAGED: _BACKUP,
    FindingKind.ARCHIVE_ROWS: "Report this as a defect, with this report",
    FindingKind.ARCHIVE_UNLISTED: _REBUILD,
}
"""What an operator does about each kind."""
