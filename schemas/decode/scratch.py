"""A thread's scratch space, which it keeps: fresh pages cost as much as what is done in them."""

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
    """`size` bytes, of which only those that are written cost memory; what stands there is of no
    meaning. Not to be asked for again by the same thread within.
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
