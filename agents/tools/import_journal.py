"""How far each file has been imported: a small JSON file, so that an import can continue.

    {"format": 1, "files": {"TARGET|PATH|SIZE|MODIFIED": {"position": .., ..}}}

The journal of 0.1.0 is the object of files alone.

A file is identified by its path, size and modification time; a changed file is imported from the
beginning. So is a file with another target or another kind.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from schemas.errors import Fatal

__all__ = ["ImportPosition", "Journal"]

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ImportPosition:
    """The acknowledged part of a file.

    `position` is a byte offset in JSON lines and CSV (of the decompressed content), a number of
    blocks in an Avro container file; `records`, `bad` (a part of them) and `blank` (empty lines,
    and records that are skipped) are counts before it.
    """

    position: int = 0
    records: int = 0
    bad: int = 0
    blank: int = 0
    done: bool = False


_KNOWN = frozenset(each.name for each in fields(ImportPosition))


def _position(found: Mapping[str, Any]) -> ImportPosition:
    """A position; fields that only a later version knows are left out."""
    return ImportPosition(**{name: value for name, value in found.items() if name in _KNOWN})


class Journal:
    """The positions of all files. Only one import at a time may use it.

    `target` says where the files are sent and as what kind: one file has a position for each
    target.
    """

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        self._target = target
        self._reached: dict[str, ImportPosition] = {}
        try:
            content = json.loads(path.read_text())
            written = content.pop("format", _FORMAT)
            if type(written) is not int:
                raise ValueError(f"format {written!r:.40}")
            if written > _FORMAT:
                raise Fatal(
                    f"{path} has format {written}, which a newer version of emberline has written; "
                    f"this version reads formats up to {_FORMAT}",
                    remedy="Continue the import with the newer version",
                )
            files = content.get("files", content)
            self._reached = {key: _position(reached) for key, reached in files.items()}
        except FileNotFoundError:
            return
        except (ValueError, TypeError, AttributeError) as error:
            raise Fatal(
                f"{path} cannot be read: {error}",
                remedy="Remove it to import from the beginning: a second time changes no row",
            ) from error

    def reached(self, file: Path) -> ImportPosition:
        """The position at which a file continues."""
        return self._reached.get(self._key(file), ImportPosition())

    def save(self, reached: Mapping[Path, ImportPosition]) -> None:
        """Store positions atomically: after a crash there is the old journal or the new one."""
        self._reached |= {self._key(file): position for file, position in reached.items()}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        files = {key: asdict(position) for key, position in self._reached.items()}
        fresh.write_text(json.dumps({"format": _FORMAT, "files": files}, indent=1))
        os.replace(fresh, self._path)

    def forget(self, file: Path) -> None:
        """Let a file start from the beginning."""
        self._reached.pop(self._key(file), None)

    def _key(self, file: Path) -> str:
        stat = file.stat()
        return f"{self._target}|{file.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
