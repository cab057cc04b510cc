"""Records in a changelog that no shard can have written: they must stop no shard.

A shard writes valid entries, in transactions. A record outside a transaction that is no valid entry
comes from another program; it is skipped, so that the previous entry of its key counts. A record
outside a transaction that is a valid entry is accepted, because a topic that was restored from a
backup has all of its records without transactions. A record of a transaction is always accepted: if
it cannot be read, the log is damaged, and an operator must know.
"""

import re
import struct

from schemas.errors import EmberlineError
from streams.state import auxiliary_table as auxiliary
from streams.state import keys
from streams.state.hot_table import HotTable

__all__ = ["fault"]

_ID = rb"[0-9a-f]{24}"
_NUMBERED = rb"[0-9a-f]{16}/[0-9a-f]{3,}"
_RUN = rb"[0-9a-f]{2}/" + _ID + rb"/[0-9a-f]{3,}"
_KEY = re.compile(
    rb"[focz]|[dehqxw]/"
    + _NUMBERED
    + rb"|[ary]/"
    + _RUN
    + rb"|[is]/"
    + _ID
    + rb"|m/.+/"
    + _ID
    + rb"|[vn]/.+|p/[0-9a-f]{4,}/.+|g/[0-9a-f]{32}|j/.+",
    re.DOTALL,
)
_NEVER_DELETED = {b"f", b"o", b"c", b"v", b"z", b"g"}
_RUNS = {table.run for table in auxiliary.TABLES}


def fault(key: bytes | None, value: bytes | None) -> str | None:
    """Why a record is no entry of a shard; None if it may be one."""
    if key is None or not _KEY.fullmatch(key):
        return "its key is none of ours"
    if value is None:
        return "that is never deleted" if keys.kind(key) in _NEVER_DELETED else None
    try:
        if keys.kind(key) in _RUNS:
            auxiliary.decode(value)
        else:
            _try(key, value)
    except (
        EmberlineError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
        struct.error,
    ) as error:
        return f"its value is none of ours: {type(error).__name__}"
    return None


def _try(key: bytes, value: bytes) -> None:
    """Raises if the hot table cannot apply the entry, or could not continue after it."""
    table = HotTable()
    table.apply([(key, value)])
    numbers = [table.next_sequence, *table.cursor.values()]
    numbers += [done.version for done in table.applied.values()]
    numbers += [one.offset for entries in table.manifest.values() for one in entries.values()]
    if not all(type(number) is int and 0 <= number < 1 << 63 for number in numbers):
        raise ValueError("a position or version is a number")
