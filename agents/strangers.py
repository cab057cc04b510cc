"""Records in internal topics that none of us can have written: they must stop nobody."""

import logging

from schemas.lifecycle import is_source

__all__ = ["names_source", "own_key", "pass_over"]

log = logging.getLogger(__name__)


def own_key(key: bytes | None) -> str | None:
    """The key as text; None where it is none: all the keys that we write are UTF-8."""
    text = (key or b"").decode(errors="replace")
    return text if text.encode() == (key or b"") else None


def names_source(key: bytes | None) -> bool:
    """Whether a record's key names a campaign or a Canvas: what it says of one must be known."""
    text = own_key(key)
    return text is not None and is_source(text)


def pass_over(topic: str, partition: int, offset: int, why: str) -> None:
    """Warn of a record that is left out."""
    log.warning(
        "%s[%d] offset %d is no record of ours and left out: %.200s", topic, partition, offset, why
    )
