"""What can be a mail address."""

import re

__all__ = ["is_address"]

_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]{1,64}@[^\s@<>()\[\],;:\\\"/]{1,190}")


def is_address(text: str) -> bool:
    """Whether this can be a mail address: one, without a name, and safe in a header."""
    return _ADDRESS.fullmatch(text) is not None and text.isprintable()
