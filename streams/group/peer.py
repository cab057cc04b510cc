"""Checks the HTTP address that another worker claims for itself."""

import logging
import re

__all__ = ["checked_address"]

log = logging.getLogger(__name__)

_SHAPE = re.compile(
    r"http://(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_][A-Za-z0-9._-]{0,252}):([0-9]{1,5})"
)
_PORTS = range(1, 1 << 16)


def checked_address(text: object) -> str:
    """Return `http://HOST:PORT` unchanged, and an empty text for anything else.

    A member of the group can claim any text. Workers send no request to an address with a user, a
    path, a query or another scheme.
    """
    found = _SHAPE.fullmatch(text) if isinstance(text, str) else None
    if found is not None and int(found[1]) in _PORTS:
        return found[0]
    if text:
        log.warning("a member of the group claims the address %.80r, which is none", text)
    return ""
