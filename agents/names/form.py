"""The form in which names are compared: two names that people may take for one are equal in it."""

import re
import unicodedata

from schemas.words.unseen import selects, unseen

__all__ = ["MOST", "folded", "form", "hidden"]

MOST = 256
"""Characters of a form; the rest of a longer name is not compared."""
_RAW = 4 * MOST
_PLAIN = re.compile(r"[!-~]+(?: [!-~]+)*")
#: Emoji and Persian words have joiners.
_HARMLESS = frozenset("\u200c\u200d")


def form(text: str) -> str:
    """The text in Unicode's form NFC, without case, without characters that nobody sees, and with
    single spaces.
    """
    text = text[:_RAW]
    if not _PLAIN.fullmatch(text):
        text = "".join(
            " " if char.isspace() else char
            for char in text
            if char.isspace() or not (char in _HARMLESS or selects(char) or unseen(char))
        )
        text = " ".join(text.split())
    return folded(text)[:MOST]


def folded(text: str) -> str:
    """The text in Unicode's form NFC, without case: for a search within names, which one program
    writes composed and another one decomposed.
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", decomposed)


def hidden(text: str) -> bool:
    """Whether a text has characters that nobody sees: controls, marks of direction, and such."""
    if text.isascii() and text.isprintable():
        return False
    cut = text[:_RAW]
    return any(
        char not in _HARMLESS and unseen(char, before)
        for before, char in zip(f" {cut}", cut, strict=False)
    )
