"""Characters that nobody sees: two texts that differ in them alone look alike."""

import unicodedata

__all__ = ["selects", "unseen"]

_CATEGORIES = ("Cc", "Cf", "Cs", "Zl", "Zp")
#: Letters and signs that are drawn as nothing or as a space.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
_SELECTORS = (("\ufe00", "\ufe0f"), ("\U000e0100", "\U000e01ef"), ("\u180b", "\u180d"),
              ("\u180f", "\u180f"))  # fmt: skip
#: Not assigned yet, but to be drawn as nothing.
_RESERVED = (("\u2065", "\u2065"), ("\ufff0", "\ufff8"), ("\U000e0000", "\U000e0fff"))
_STYLES = "\ufe0e\ufe0f"


def selects(char: str) -> bool:
    """Whether a character selects another form of the one before it, and is not drawn itself."""
    return char >= "\u180b" and any(first <= char <= last for first, last in _SELECTORS)


def unseen(char: str, before: str = "") -> bool:
    """Whether nobody sees a character that stands behind `before`.

    A selector of variants is seen behind an ideograph, a letter without case or a symbol, for it
    may change that: names in Japanese have some. The two for the style of emoji may follow
    anything. Behind a Latin letter none of the others changes anything.
    """
    if char.isascii():
        return not char.isprintable()
    if selects(char):
        kind = unicodedata.category(before) if before else ""
        return char not in _STYLES and kind != "Lo" and not kind.startswith("S")
    return (
        char in _BLANK
        or unicodedata.category(char) in _CATEGORIES
        or any(first <= char <= last for first, last in _RESERVED)
    )
