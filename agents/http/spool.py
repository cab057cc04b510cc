"""Folders of answers that are made on disk before they are sent."""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["clean_up", "spool"]

log = logging.getLogger(__name__)

_PREFIX, _SUFFIX = "export-", ".part"


@contextmanager
def spool(data_dir: Path) -> Iterator[Path]:
    """A new folder in the worker's own, gone at the end."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, suffix=_SUFFIX, dir=data_dir) as name:
        yield Path(name)


def clean_up(data_dir: Path) -> None:
    """Remove what a worker that was killed has left. Blocking.

    Only for who holds the lock of the data folder: nobody else's answer is being made there.
    """
    for left in data_dir.glob(f"{_PREFIX}*{_SUFFIX}"):
        log.info("removing %s, the rest of an answer that was broken off", left)
        try:
            shutil.rmtree(left)
        except OSError as error:
            log.warning("%s cannot be removed: %s; remove it by hand", left, error.strerror)
