"""Two runs of pytest share the tests: each runs the files that the other has not taken.

`.ci/test` starts both, each with a broker of its own. One begins at the front of the same order,
and the other at its back, so they end at about the same time, however long a file takes. At the
back are the tests that wait more than they work: they kill workers, or drive a browser.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

__all__ = ["Lane", "in_order", "run"]

_FRONT = "tests/sim/"
_BACK = ("tests/agents/web/test_page_", "tests/agents/tools/bench/", "tests/faults/")


class Lane:
    """One of the two runs. `folder` is empty at first, and both have the same."""

    def __init__(self, folder: Path, *, from_back: bool) -> None:
        self._folder = folder
        self._from_back = from_back

    def files(self, files: Iterable[str]) -> Iterator[str]:
        """Those files that this run takes, each taken at the moment at which it is asked for."""
        order = in_order(files)
        for file in reversed(order) if self._from_back else order:
            if self._take(file):
                yield file

    def _take(self, file: str) -> bool:
        try:
            os.close(os.open(self._folder / file.replace("/", "+"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


def in_order(files: Iterable[str]) -> list[str]:
    """Files by path, from the root of the project, in the order of both runs."""

    def place(file: str) -> int:
        backs = [number for number, part in enumerate(_BACK, 1) if file.startswith(part)]
        return backs[0] if backs else -file.startswith(_FRONT)

    return sorted(files, key=lambda file: (place(file), file))


def run(session: pytest.Session, lane: Lane) -> None:
    """The loop of pytest over the tests that this run takes; it counts the others as deselected."""
    by_file: dict[str, list[pytest.Item]] = {}
    for item in session.items:
        by_file.setdefault(item.nodeid.partition("::")[0], []).append(item)
    taken: list[str] = []

    def tests() -> Iterator[pytest.Item]:
        for file in lane.files(by_file):
            taken.append(file)
            yield from by_file[file]

    ours = tests()
    current = next(ours, None)
    while current is not None:
        following = next(ours, None)
        current.config.hook.pytest_runtest_protocol(item=current, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        current = following
    others = [one for file, items in by_file.items() if file not in taken for one in items]
    session.config.hook.pytest_deselected(items=others)
