"""How one setting's value is read, from text (environment, flags) or from TOML, and shown."""

import datetime
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import UsageError
from schemas.words.nearest import hint
from streams.period import Period, parse, seconds

__all__ = [
    "Address",
    "Read",
    "address",
    "addresses",
    "choice",
    "choices_by_name",
    "date",
    "flag",
    "fraction",
    "interval",
    "interval_of",
    "intervals",
    "number",
    "path",
    "period",
    "periods_by_name",
    "periods_by_word",
    "show",
    "size",
    "text",
    "words",
]

Read = Callable[[object], Any]
"""Turns what was written into the value. Raises UsageError saying what is expected."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?", re.IGNORECASE | re.ASCII)
_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


class Address(str):
    """A URL that may hold a password, which is not shown."""

    __slots__ = ()

    @property
    def shown(self) -> str:
        """Without user and password."""
        return re.sub(r"//[^/]*@", "//(set)@", self)

    def __repr__(self) -> str:
        return repr(self.shown)


def address(value: object) -> Address:
    """An http or https URL, or nothing. The error does not quote it."""
    found = (
        re.fullmatch(r"(https?://[^\s/?#]+[^\s?#]*)?", value) if isinstance(value, str) else None
    )
    if found is None:
        raise UsageError("this is no http or https address", remedy="Write https://host:port")
    return Address(found[0])


def addresses(value: object) -> tuple[Address, ...]:
    """Several http or https URLs: a TOML list, or text with commas."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise _expected(value, "a list of https addresses")
    found = [address(part.strip() if isinstance(part, str) else part) for part in parts]
    return tuple(dict.fromkeys(one for one in found if one))


def text(pattern: str = "", what: str = "a text") -> Read:
    """Text that matches a pattern (any, by default)."""

    def read(value: object) -> str:
        if not isinstance(value, str) or (pattern and not re.fullmatch(pattern, value)):
            raise _expected(value, what)
        return value

    return read


def choice(*names: str) -> Read:
    """One of a few words."""

    def read(value: object) -> str:
        if value not in names:
            raise UsageError(f"{value!r} is no value", remedy=hint(str(value), names))
        return str(value)

    return read


def number(low: int, high: int) -> Read:
    """A whole number from low to high."""

    def read(value: object) -> int:
        plain = str(value).replace("_", "")
        if isinstance(value, bool) or not plain.isdecimal() or not low <= int(plain) <= high:
            raise _expected(value, f"a whole number from {low} to {high}")
        return int(plain)

    return read


def size(low: int, high: int) -> Read:
    """A number of bytes from low to high: 800000000, "800MB", "1GB", "512MiB"."""

    def read(value: object) -> int:
        found = _SIZE.fullmatch(str(value).replace("_", "").strip())
        if found is not None and not isinstance(value, bool):
            count, unit, binary = found.groups()
            bytes_ = float(count) * float(1024 if binary else 1000) ** " kmgt".index(
                unit.lower() or " "
            )
            if low <= bytes_ <= high:
                return round(bytes_)
        raise _expected(value, f"a size such as 800MB or 1GB, from {low} to {high} bytes")

    return read


def fraction(value: object) -> float:
    """A number from 0 to 1."""
    try:
        found = float(str(value))
    except ValueError:
        found = -1
    if isinstance(value, bool) or not 0 <= found <= 1:
        raise _expected(value, "a number from 0 to 1")
    return found


def flag(value: object) -> bool:
    """True or false."""
    word = str(value).lower()
    if word not in _TRUE | _FALSE:
        raise _expected(value, "true or false")
    return word in _TRUE


def date(value: object) -> str:
    """An ISO 8601 date, kept as text; empty for none."""
    text = value.isoformat() if type(value) is datetime.date else value
    if text == "":
        return ""
    try:
        return datetime.date.fromisoformat(str(text)).isoformat()
    except ValueError:
        raise _expected(value, "an ISO 8601 date such as 2026-01-31") from None


def path(value: object) -> Path:
    """A folder or file."""
    if not isinstance(value, str | Path) or not str(value):
        raise _expected(value, "a path")
    return Path(value).expanduser()


def period(value: object) -> Period:
    """An ISO 8601 period, calendar months allowed."""
    if not isinstance(value, str | Period):
        raise _expected(value, "an ISO 8601 period such as P3M or PT20S")
    return parse(value)


def interval(value: object) -> Period:
    """An ISO 8601 period of fixed length, above zero."""
    found = period(value)
    if seconds(found) <= 0:
        raise _expected(value, "an ISO 8601 period above zero, such as PT1H")
    return found


def interval_of(low_s: float, high_s: float) -> Read:
    """An ISO 8601 period of fixed length, from `low_s` to `high_s` seconds."""

    def read(value: object) -> Period:
        found = interval(value)
        if not low_s <= seconds(found) <= high_s:
            raise _expected(value, f"a period from {low_s:g} to {high_s:g} seconds")
        return found

    return read


def intervals(value: object) -> tuple[Period, ...]:
    """Several fixed periods: a TOML list, or text with commas."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise _expected(value, "a list of ISO 8601 periods such as P30D,P7D")
    return tuple(interval(part) for part in parts if part != "")


def periods_by_word(*words: str) -> Read:
    """Periods by one of a few words, as `periods_by_name`."""

    def read(value: object) -> dict[str, Period]:
        found = periods_by_name(value)
        for name in found:
            if name not in words:
                raise UsageError(f"{name!r} is no name here", remedy=hint(name, words))
        return found

    return read


def periods_by_name(value: object) -> dict[str, Period]:
    """Periods by name: a TOML table, or text such as `vip=P1Y,legal=P7Y`."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        value = {name.strip(): written.strip() for name, _, written in pairs}
    if not isinstance(value, Mapping):
        raise _expected(value, "names with periods such as vip=P1Y,legal=P7Y")
    return {str(name): period(written) for name, written in value.items()}


def words(pattern: str, what: str) -> Read:
    """Several texts without commas that match a pattern: a TOML list, or text with commas."""

    def read(value: object) -> tuple[str, ...]:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise _expected(value, f"a list, each {what}")
        found = [part.strip() if isinstance(part, str) else part for part in parts]
        for part in found:
            if part and not (isinstance(part, str) and re.fullmatch(pattern, part)):
                raise _expected(part, what)
        return tuple(dict.fromkeys(part for part in found if part))

    return read


def choices_by_name(*words: str) -> Read:
    """One of a few words by name: a TOML table, or text such as `ada@example.com=fr`."""

    def read(value: object) -> dict[str, str]:
        if isinstance(value, str):
            pairs = [part.partition("=") for part in value.split(",") if part.strip()]
            value = {name.strip(): word.strip() for name, _, word in pairs}
        if not isinstance(value, Mapping):
            raise _expected(value, "names with words")
        take = choice(*words)
        return {str(name): take(word) for name, word in value.items()}

    return read


def show(value: object) -> str:
    """A value as it could be written in the environment."""
    if isinstance(value, Address):
        return value.shown
    if isinstance(value, Mapping):
        return ",".join(f"{name}={show(part)}" for name, part in value.items())
    if isinstance(value, tuple):
        return ",".join(show(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _expected(value: object, what: str) -> UsageError:
    return UsageError(f"{value!r} is not {what}", remedy=f"Write {what}")
