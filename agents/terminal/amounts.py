"""Sizes, periods and moments as people read them; `--json` has the exact numbers. Pure."""

from datetime import UTC, datetime

from schemas.words.plural import counted

__all__ = ["day", "period", "size", "when"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_PERIODS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def size(count: int | float) -> str:
    """Bytes in the unit that gives one to three digits before the point."""
    value = float(count)
    for unit in _UNITS[:-1]:
        # what rounds to 1,000 belongs to the next unit
        if value < (1_000 if unit == "B" else 999.95):
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1_000
    return f"{value:,.1f} {_UNITS[-1]}"


def period(seconds: float) -> str:
    """A period in its largest unit and the next one: `2 days 3 hours`, `1 minute 5 s`, `0.4 s`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    rest = round(seconds)
    if rest < 60:
        return f"{rest} s"
    for at, (length, name) in enumerate(_PERIODS):
        if rest < length:
            continue
        parts = [counted(rest // length, name)]
        small, small_name = _PERIODS[at + 1] if at + 1 < len(_PERIODS) else (1, "s")
        count = rest % length // small
        if count:
            parts.append(f"{count} s" if small == 1 else counted(count, small_name))
        return " ".join(parts)
    return f"{rest} s"


def when(ms: int | None, timespec: str = "seconds") -> str:
    """Milliseconds since 1970 as a time in UTC, with the precision of `timespec`; empty for None,
    and the number itself if it is outside of the calendar.
    """
    if ms is None:
        return ""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"  # whoever writes a record says when: it may be no time of ours
    return moment.isoformat(sep=" ", timespec=timespec).removesuffix("+00:00") + "Z"


def day(ms: int, now_ms: int) -> str:
    """A date ahead: the day; the minute, if it is less than two days away; or the second."""
    away = abs(ms - now_ms) / 1000
    if away < 3_600:
        return when(ms)
    return when(ms, "minutes") if away < 2 * 86_400 else when(ms, "minutes")[:10]
