r"""Makes foreign text safe for people: on a terminal, in a table, in a log.

Other people choose names, tags, ids and details. None of their characters may move the cursor,
change colours, change the writing direction or begin a line: such characters are escaped as in
Python and JSON, `\x1b`, `\n`, `\u202e`.
"""

import re
import unicodedata

__all__ = ["json_shown", "shown", "width"]

#: The width of two characters: emoji and Persian words are joined and held apart by these.
_JOINERS = "\u200c\u200d"
_PLAIN = re.compile(r"[\x20-\x7e]*")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str) -> str:
    """The text in one line; characters that a terminal would interpret or hide are escaped."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_written(char) if _acts(char) else char for char in text)


def json_shown(text: str) -> str:
    """Equivalent JSON in one line, with such characters as JSON escapes."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_escaped(char) if _acts(char) else char for char in text)


def width(text: str) -> int:
    """The number of terminal columns that a shown text takes."""
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
