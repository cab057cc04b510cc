"""A fuzz target: how its inputs are made, what reads them, and the memory that one may take."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

__all__ = ["Target", "TooMuch", "bounded", "resident"]

_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Target:
    """`take` reads one input: it raises nothing if the input was accepted or refused as promised.

    `most_mb`: by how much one input may raise the process's memory, native memory included.
    """

    inputs: st.SearchStrategy[Any]
    take: Callable[[Any], object]
    most_mb: int = 64


class TooMuch(AssertionError):
    """More memory than an input may take."""


@contextmanager
def bounded(most_mb: int) -> Iterator[None]:
    """Raises TooMuch if the process's resident memory grows by more meanwhile, even for a
    moment. Linux keeps the peak, and begins again where it is asked to."""
    descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
    try:
        os.write(descriptor, b"5")
    finally:
        os.close(descriptor)
    before = _kb("VmRSS")
    yield
    grown = (_kb("VmHWM") - before) >> 10
    if grown > most_mb:
        raise TooMuch(f"one input took {grown} MB of memory, and may take {most_mb}")


def resident() -> int:
    """The process's memory, kB."""
    return _kb("VmRSS")


def _kb(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise AssertionError(f"no {name}")
