r"""Makes foreign text safe for people: on a terminal, in a table, in a log.

Other people choose names, tags, ids and details. None of their characters may move the cursor,
change colours, change the writing direction or begin a line: such characters are escaped as in
Python and JSON, `\x1b`, `\n`, `\u202e`.
"""

import re
import unicodedata
from collections.abc import Iterator

from schemas.words.unseen import unseen

__all__ = ["clusters", "json_shown", "shown", "width"]

#: The width of two characters: emoji and Persian words are joined and held apart by these.
_JOINERS = "\u200c\u200d"
_JOINER = "\u200d"
_EMOJI_FORM = "\ufe0f"
"""After a character that is also a sign of text, such as a heart."""
_SKIN = ("\U0001f3fb", "\U0001f3ff")
_FLAGS = ("\U0001f1e6", "\U0001f1ff")
"""Letters that are a flag by twos."""
_JAMO = ("\u1160", "\u11ff")
"""Vowels and ends of Korean syllables, which are drawn into the letter before."""
_PLAIN = re.compile(r"[\x20-\x7e]*")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str) -> str:
    """The text in one line; characters that a terminal would interpret or hide are escaped."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_written(char) if acts else char for char, acts in _acting(text))


def json_shown(text: str) -> str:
    """Equivalent JSON in one line, with such characters as JSON escapes."""
    if _PLAIN.fullmatch(text):
        return text
    return "".join(_escaped(char) if acts else char for char, acts in _acting(text))


def width(text: str) -> int:
    """The number of terminal columns that a shown text takes."""
    if text.isascii():
        return len(text)
    return sum(columns for _, columns in clusters(text))


def clusters(text: str) -> Iterator[tuple[str, int]]:
    """The characters as readers see them, each with its columns: a letter and its accents, an emoji
    and what is joined to it, the two letters of a flag.
    """
    start, columns, joined, flag = 0, 0, False, False
    for at, char in enumerate(text):
        own = 1 if char.isascii() else _columns(char)
        second = flag and _is_flag(char)
        if at > start and (second or joined or own == 0 or (columns == 2 and _is_skin(char))):
            if second or char == _EMOJI_FORM:
                columns = 2
            flag = False
        else:
            if at > start:
                yield text[start:at], columns
            start, columns, flag = at, own, _is_flag(char)
        joined = char == _JOINER and columns == 2
    if text:
        yield text[start:], columns


def _is_skin(char: str) -> bool:
    return _SKIN[0] <= char <= _SKIN[1]


def _is_flag(char: str) -> bool:
    return _FLAGS[0] <= char <= _FLAGS[1]


def _acting(text: str) -> Iterator[tuple[str, bool]]:
    """Each character, and whether a terminal would interpret or hide it: controls, marks of
    direction and format, halves of pairs, separators of lines, what is drawn as nothing.
    """
    before = ""
    for char in text:
        yield char, char not in _JOINERS and unseen(char, before)
        before = char


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
    if char in _JOINERS or _JAMO[0] <= char <= _JAMO[1]:
        return 0
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
