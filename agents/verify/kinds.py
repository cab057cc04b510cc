"""The kinds of damage that are found, and the remedy of each."""

from collections.abc import Mapping
from enum import StrEnum

__all__ = ["MEANINGS", "REMEDIES", "FindingKind"]


class FindingKind(StrEnum):
    """One kind of damage."""

    TOPIC_MISSING = "topic_missing"
    TOPIC_SETTING = "topic_setting"
    BATCH_BROKEN = "batch_broken"
    LOG_UNREADABLE = "log_unreadable"
    ARCHIVE_FOREIGN = "archive_foreign"
    ARCHIVE_MISSING = "archive_missing"
    ARCHIVE_OTHER = "archive_other"
    ARCHIVE_DAMAGED = "archive_damaged"
    ARCHIVE_ROWS = "archive_rows"
    ARCHIVE_UNLISTED = "archive_unlisted"
    ENTRY_UNREADABLE = "entry_unreadable"
    ORIGIN_WRONG = "origin_wrong"
    HOT_INCOMPLETE = "hot_incomplete"
    HOT_DAMAGED = "hot_damaged"
    HOT_ROWS = "hot_rows"
    COUNTS_INCOMPLETE = "counts_incomplete"
    INPUT_LOST = "input_lost"
    INPUT_ANEW = "input_anew"
    HOT_OTHER = "hot_other"
    HOT_NOT_DROPPED = "hot_not_dropped"
    RESTORED_MISSING = "restored_missing"
    LIFECYCLE_UNREADABLE = "lifecycle_unreadable"
    LIFECYCLE_MISSING = "lifecycle_missing"
    LIFECYCLE_BEHIND = "lifecycle_behind"
    SHARD_BEHIND = "shard_behind"
    COORDINATOR_UNREADABLE = "coordinator_unreadable"
    COORDINATOR_OTHER = "coordinator_other"
    EXPIRED_TOTALS = "expired_totals"
    RESTORED_TOTALS = "restored_totals"
    STATE_TOTALS = "state_totals"
    EVENT_MISSING = "event_missing"
    EVENT_UNREADABLE = "event_unreadable"
    STORE_DAMAGED = "store_damaged"
    STORE_OTHER = "store_other"
    STORE_AHEAD = "store_ahead"
    INDEX_DAMAGED = "index_damaged"
    INDEX_MISSING = "index_missing"
    INDEX_EXTRA = "index_extra"
    INDEX_OTHER = "index_other"
    ROW_MISSING = "row_missing"
    ROW_EXTRA = "row_extra"
    ROW_OTHER = "row_other"
    ERASED_ROWS = "erased_rows"
    ERASED_INDEXED = "erased_indexed"
    ERASED_MERGED = "erased_merged"
    ERASED_NAMED = "erased_named"
    DRILL_FAILED = "drill_failed"


_BACKUP = "Restore the partition from a replica or a backup of the topic"
_DEFECT = "Report this as a defect, with this report"
_CHANGELOG = "Restore the shard's partition of the changelog from a replica or a backup"
_STATE = (
    "Restore the topics lifecycle.state and coordinator from a backup of one moment, or report "
    "this as a defect, with this report"
)
_BOTH = (
    "See the other findings of the source: a lost manifest entry is one of them. Without any, "
    "report this as a defect, with this report"
)
_SEND_AGAIN = (
    "The events are in their topics: send them again with `emberline import`, which changes no row "
    "that is right. Report this as a defect, with this report"
)
_STORE = (
    "Stop its worker and delete the folder that the finding names: the store is filled anew from "
    "the changelog"
)
_INDEX = (
    "Stop its worker and delete the folder that the finding names: the index is built anew from "
    "the segments"
)
_REBUILD = (
    "Run `emberline verify --rebuild`: it shows the manifest entries that the archive gives, and "
    "with --yes writes them"
)

MEANINGS: Mapping[FindingKind, str] = {
    FindingKind.TOPIC_MISSING: "A topic does not exist.",
    FindingKind.TOPIC_SETTING: "A topic has another setting than it must have.",
    FindingKind.BATCH_BROKEN: "A record batch does not match its checksum, or cannot be read.",
    FindingKind.LOG_UNREADABLE: "A partition cannot be read beyond an offset.",
    FindingKind.ARCHIVE_FOREIGN: "A record of the archive is no archived segment.",
    FindingKind.ARCHIVE_MISSING: "The manifest names an offset at which the archive has no record.",
    FindingKind.ARCHIVE_OTHER: "The record at a manifest entry's offset is another segment.",
    FindingKind.ARCHIVE_DAMAGED: "The bytes of an archived segment do not have its checksum.",
    FindingKind.ARCHIVE_ROWS: "An archived segment holds other rows than its record says.",
    FindingKind.ARCHIVE_UNLISTED: "An archived segment has no manifest entry.",
    FindingKind.ENTRY_UNREADABLE: "The latest value of a key of a changelog cannot be read.",
    FindingKind.ORIGIN_WRONG: (
        "A changelog does not say its origin, or was written with another number of partitions."
    ),
    FindingKind.HOT_INCOMPLETE: "A hot segment has an index and no bytes, or bytes and no index.",
    FindingKind.HOT_DAMAGED: "The bytes of a hot segment do not have the checksum of its index.",
    FindingKind.HOT_ROWS: (
        "A hot segment holds other rows than its index says, or rows of another shard."
    ),
    FindingKind.COUNTS_INCOMPLETE: (
        "A part of the numbers of users of an expired source is missing."
    ),
    FindingKind.INPUT_LOST: "Events were deleted before a shard read them.",
    FindingKind.INPUT_ANEW: "A topic that a shard reads was deleted and created again.",
    FindingKind.HOT_OTHER: "A segment that is hot and archived is not the same in both.",
    FindingKind.HOT_NOT_DROPPED: "A segment of an expired source is still hot.",
    FindingKind.RESTORED_MISSING: "A source is visible, and an archived segment of it is not hot.",
    FindingKind.LIFECYCLE_UNREADABLE: (
        "The latest record of a source in `lifecycle.state` cannot be read."
    ),
    FindingKind.LIFECYCLE_MISSING: (
        "A shard has applied or archived a source that `lifecycle.state` does not have."
    ),
    FindingKind.LIFECYCLE_BEHIND: (
        "A shard has applied a higher version of a source than `lifecycle.state` has."
    ),
    FindingKind.SHARD_BEHIND: "A shard has not done what the state of a source says is done.",
    FindingKind.COORDINATOR_UNREADABLE: (
        "The latest record of a key of `coordinator` cannot be read."
    ),
    FindingKind.COORDINATOR_OTHER: (
        "The coordinator's record of a source and `lifecycle.state` differ."
    ),
    FindingKind.EXPIRED_TOTALS: "An event of an expiry counts other data than the manifest has.",
    FindingKind.RESTORED_TOTALS: "An event of a restore counts other data than the manifest has.",
    FindingKind.STATE_TOTALS: (
        "`lifecycle.state` counts other archived data of a source than the manifest has."
    ),
    FindingKind.EVENT_MISSING: "An expiry has no event in `lifecycle.expired`.",
    FindingKind.EVENT_UNREADABLE: (
        "A record of `lifecycle.expired` or `lifecycle.restored` cannot be read."
    ),
    FindingKind.STORE_DAMAGED: "A local store cannot be read.",
    FindingKind.STORE_OTHER: "A local store holds other values than the changelog.",
    FindingKind.STORE_AHEAD: "A local store was written beyond the end of its changelog.",
    FindingKind.INDEX_DAMAGED: "A local index by user cannot be read.",
    FindingKind.INDEX_MISSING: (
        "A local index by user does not have a row of a segment that it says it covers."
    ),
    FindingKind.INDEX_EXTRA: "A local index by user has a row that no segment has.",
    FindingKind.INDEX_OTHER: "A row of a local index by user has other times than the segments.",
    FindingKind.ROW_MISSING: "Events that were read make a row that is neither hot nor archived.",
    FindingKind.ROW_EXTRA: "A row is held that no event makes.",
    FindingKind.ROW_OTHER: "A row has other times than its events.",
    FindingKind.ERASED_ROWS: (
        "Rows of an erased user are stored, and no erasure is under way that removes them."
    ),
    FindingKind.ERASED_INDEXED: "A local index by user has rows of an erased user.",
    FindingKind.ERASED_MERGED: (
        "A roster record of another user says that this user was merged into an erased one."
    ),
    FindingKind.ERASED_NAMED: (
        "A text in a record of the coordinator, the audit, the results or the notices names an "
        "erased user."
    ),
    FindingKind.DRILL_FAILED: "A source could not be restored into scratch whole.",
}
"""What each kind means, in one sentence."""

REMEDIES: Mapping[FindingKind, str] = {
    FindingKind.TOPIC_MISSING: "Run `emberline topics create`, and restore what the topic "
    "held from a backup",
    FindingKind.TOPIC_SETTING: "The finding names the command that corrects it",
    FindingKind.BATCH_BROKEN: f"Check the broker's disk. {_BACKUP}",
    FindingKind.LOG_UNREADABLE: f"Check that the partition has a leader. {_BACKUP}",
    FindingKind.ARCHIVE_FOREIGN: "Only workers may write to the archive: take the right to write "
    "from other programs. The record itself does no harm",
    FindingKind.ARCHIVE_MISSING: _BACKUP,
    FindingKind.ARCHIVE_OTHER: _REBUILD,
    FindingKind.ARCHIVE_DAMAGED: _BACKUP,
    FindingKind.ARCHIVE_ROWS: _DEFECT,
    FindingKind.ARCHIVE_UNLISTED: _REBUILD,
    FindingKind.ENTRY_UNREADABLE: _CHANGELOG,
    FindingKind.ORIGIN_WRONG: (
        "Set EMBERLINE_PARTITIONS to the number with which the data was written. Without the "
        "record: restore the shard's partition of the changelog from a backup"
    ),
    FindingKind.HOT_INCOMPLETE: _CHANGELOG,
    FindingKind.HOT_DAMAGED: _CHANGELOG,
    FindingKind.HOT_ROWS: _DEFECT,
    FindingKind.COUNTS_INCOMPLETE: (
        "Restore the source and let it expire again: the numbers are counted anew"
    ),
    FindingKind.INPUT_LOST: (
        "Restore the topic from a backup; or stop the workers, accept the loss with "
        "`emberline topics skip`, and raise the topic's retention"
    ),
    FindingKind.INPUT_ANEW: (
        "Stop the workers and have the new log read from its beginning with `emberline topics skip`"
    ),
    FindingKind.HOT_OTHER: _DEFECT,
    FindingKind.HOT_NOT_DROPPED: (
        "Restore the source and let it expire again. Report this as a defect, with this report"
    ),
    FindingKind.RESTORED_MISSING: (
        "Run `emberline expire` and then `emberline restore` for the source: a restore brings"
        " back every segment of the manifest"
    ),
    FindingKind.LIFECYCLE_UNREADABLE: (
        "Start a worker: the coordinator publishes the source again. Only the coordinator may"
        " write to the topic"
    ),
    FindingKind.LIFECYCLE_MISSING: _STATE,
    FindingKind.LIFECYCLE_BEHIND: _STATE,
    FindingKind.SHARD_BEHIND: (
        "Run `emberline expire` and then `emberline restore` for the source, so that all "
        "shards work on it again. Report this as a defect, with this report"
    ),
    FindingKind.COORDINATOR_UNREADABLE: (
        "Restore the topic from a backup, or write the key's former value again"
    ),
    FindingKind.COORDINATOR_OTHER: _STATE,
    FindingKind.EXPIRED_TOTALS: _BOTH,
    FindingKind.RESTORED_TOTALS: _BOTH,
    FindingKind.STATE_TOTALS: _BOTH,
    FindingKind.EVENT_MISSING: (
        "Restore the topic from a backup. Consumers have not heard of this expiry"
    ),
    FindingKind.EVENT_UNREADABLE: (
        "Only the coordinator may write to the topic: take the right to write from other programs"
    ),
    FindingKind.STORE_DAMAGED: _STORE,
    FindingKind.STORE_OTHER: _STORE,
    FindingKind.STORE_AHEAD: "If the changelog was restored from a backup, a worker fills the "
    "store anew",
    FindingKind.INDEX_DAMAGED: _INDEX,
    FindingKind.INDEX_MISSING: _INDEX,
    FindingKind.INDEX_EXTRA: _INDEX,
    FindingKind.INDEX_OTHER: _INDEX,
    FindingKind.ROW_MISSING: f"See the other findings of the source. {_SEND_AGAIN}",
    FindingKind.ROW_EXTRA: _DEFECT,
    FindingKind.ROW_OTHER: _SEND_AGAIN,
    FindingKind.ERASED_ROWS: f"Erase the user again: `emberline erase`. {_DEFECT}",
    FindingKind.ERASED_INDEXED: _INDEX,
    FindingKind.ERASED_MERGED: (
        "Write the other user's record to the topic users again, without merged_into"
    ),
    FindingKind.ERASED_NAMED: (
        "A person has written the id into a reason or a name. Requests go after 30 days; have "
        "records of the audit that must go deleted with kafka-delete-records.sh"
    ),
    FindingKind.DRILL_FAILED: f"See the other findings of the source. {_BACKUP}",
}
"""What an operator does about each kind."""
