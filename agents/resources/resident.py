"""Memory that this process has."""

import os
from pathlib import Path

__all__ = ["resident_bytes"]

_FIGURES = Path("/proc/self/statm")


def resident_bytes() -> int | None:
    """Bytes of memory that this process uses now; None where the system does not say."""
    try:
        return int(_FIGURES.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None
