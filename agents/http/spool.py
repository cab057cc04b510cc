"""Folders of answers that are written to disk before they are sent."""

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
    """A new folder in the worker's own folder, deleted at the end."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, suffix=_SUFFIX, dir=data_dir) as name:
        yield Path(name)


def clean_up(data_dir: Path) -> None:
    """Remove the folders that a killed worker has left. Blocking.

    The caller must hold the lock of the data folder: so no other worker is writing answers there.
    """
    for left in data_dir.glob(f"{_PREFIX}*{_SUFFIX}"):
        log.info("removing %s, left by an incomplete answer", left)
        try:
            shutil.rmtree(left)
        except OSError as error:
            log.warning("%s cannot be removed: %s; remove it by hand", left, error.strerror)
