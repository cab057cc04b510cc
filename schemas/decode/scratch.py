"""A reusable buffer for each thread, because fresh memory pages cost as much as the work in
them.
"""

import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["KEPT_BYTES", "scratch"]

KEPT_BYTES = 2_097_152
"""So much memory a thread keeps at most; a whole number of pages."""

_of_thread = threading.local()


@contextmanager
def scratch(size: int) -> Iterator[memoryview]:
    """A buffer of `size` bytes with undefined contents; only written pages take memory. The same
    thread must not request it again while it is in use.
    """
    space: mmap.mmap | None = getattr(_of_thread, "space", None)
    if space is None or len(space) < size:
        # private: pages of shared memory cost several times as much
        space = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        _of_thread.space = space
    try:
        with memoryview(space) as whole, whole[:size] as view:
            yield view
    finally:
        if len(space) > KEPT_BYTES:
            space.madvise(mmap.MADV_DONTNEED, KEPT_BYTES)
