"""Text of others on its way to people: on a terminal, in a table, in a log.

Names, tags, ids and details are whatever somebody wrote. Nothing in them may move the cursor,
change colours, turn the direction of writing or begin a line: such characters are written as
Python and JSON write them, `\\x1b`, `\\n`, `\\u202e`.
"""

import re
import unicodedata

__all__ = ["json_shown", "shown", "width"]

#: The width of two characters: emoji and Persian words are joined and held apart by these.
_JOINERS = "\u200c\u200d"
_PLAIN = re.compile(r"[\x20-\x7e]*")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str) -> str:
    """The text in one line, with what a terminal would act on, or hide, written out."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_written(char) if _acts(char) else char for char in text)


def json_shown(text: str) -> str:
    """JSON in one line that says the same, with such characters as JSON's escapes."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_escaped(char) if _acts(char) else char for char in text)


def width(text: str) -> int:
    """How many columns of a terminal a shown text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _acts(char: str) -> bool:
    # controls, marks of direction and format, halves of pairs, separators of lines
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS


def _written(char: str) -> str:
    code = ord(char)
    if char in _SHORT:
        return _SHORT[char]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _columns(char: str) -> int:
    if char in _JOINERS or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
