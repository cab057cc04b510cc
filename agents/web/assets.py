"""The files of the page as they are sent: under an address with their hash, compressed once."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

__all__ = ["Asset", "Assets", "assets"]

_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
}
_INDEX = "index.html"
_FOLDERS = ("texts", "vendor")
_NOT_SENT = frozenset({"list.json"})
_BOOT = "boot.js"
_PLACE = b"ASSETS"
"""Stands in the HTML for the folder of the files."""
_LIST = b"FILES"
"""Stands in the HTML for the addresses of modules and style sheets."""
_LISTED = (".js", ".css")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, the same with gzip, and its media type."""

    body: bytes
    packed: bytes
    media: str

    @classmethod
    def of(cls, name: str, body: bytes) -> "Asset":
        """The file of this name. Raises KeyError for a kind of file that is not sent."""
        return cls(body, gzip.compress(body, 9, mtime=0), _TYPES[name.rpartition(".")[2]])


@dataclass(frozen=True, slots=True)
class Assets:
    """All files by name; `version` is their common hash, so modules import each other by name.
    `boot` has no version in its address.
    """

    version: str
    index: Asset
    boot: Asset
    by_name: Mapping[str, Asset]

    @classmethod
    def of(cls, found: Mapping[str, bytes]) -> "Assets":
        """The assets of these files."""
        hashed = hashlib.sha256()
        for name in sorted(found):
            hashed.update(f"{name} {len(found[name])}\n".encode() + found[name])
        version = hashed.hexdigest()[:16]
        place = f"assets/{version}"
        apart = (_INDEX, _BOOT)
        rest = {name: Asset.of(name, body) for name, body in found.items() if name not in apart}
        listed = " ".join(f"{place}/{name}" for name in sorted(rest) if name.endswith(_LISTED))
        index = found[_INDEX].replace(_PLACE, place.encode()).replace(_LIST, listed.encode())
        return cls(version, Asset.of(_INDEX, index), Asset.of(_BOOT, found[_BOOT]), rest)

    def get(self, version: str, name: str) -> Asset | None:
        """The file; None if there is none, or if it was another one in that version."""
        return self.by_name.get(name) if version == self.version else None


@cache
def assets() -> Assets:
    """The files that the package contains, read once."""
    room = files("agents.web.page")
    found: dict[str, bytes] = {}
    for folder in (room, *(room / name for name in _FOLDERS)):
        found |= {file.name: file.read_bytes() for file in folder.iterdir() if _sent(file)}
    return Assets.of(found)


def _sent(file: Traversable) -> bool:
    sent = file.name.rpartition(".")[2] in _TYPES and file.name not in _NOT_SENT
    return sent and file.is_file()
