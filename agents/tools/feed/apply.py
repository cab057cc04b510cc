"""Applies a mapping to a frame of foreign records, column by column."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from agents.tools.feed.mapping import Constant, From, Hashed, Rule, TimeFormat
from schemas.decode.check import RULED, check
from schemas.decode.plan import event_types
from schemas.records import registry
from schemas.records.undecodable import REMEDIES
from schemas.tables.projection import FIELDS

__all__ = ["ROW", "Mapped", "Mapper", "columns_of", "field_types", "frame_of", "required"]

ROW = "row"
"""The column with the number of a record in its frame, from 0."""

_FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
_UNITS = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
_SURELY_MS = 100_000_000_000
"""As seconds this is the year 5138."""
_SHOWN = 80
_BAD = "bad_"
_ANY = "*"
_HASH_BYTES = 16


@dataclass(slots=True)
class Mapped:
    """The good records of a frame: our fields, and `row` (UInt32); the faults by row, in their
    order; and how many records were skipped, by reason.
    """

    rows: pl.DataFrame
    faults: list[tuple[int, str]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)


def field_types(kind: str) -> Mapping[str, pl.DataType]:
    """The fields of a kind of record that a mapping may fill, and their types."""
    if kind == "user":
        texts = ("user_id", "external_user_id", "merged_into")
        return dict.fromkeys(texts, pl.String())
    return event_types(kind)


def required(kind: str) -> list[str]:
    """The fields of a kind of record without which there is none."""
    fields = registry.raw(kind)["fields"]
    return [one["name"] for one in fields if "default" not in one]


def columns_of(rule: Rule) -> set[str]:
    """The foreign columns that a rule reads."""
    found: set[str] = set()
    for value in rule.fields.values():
        if isinstance(value, From):
            found |= {value.column, value.rather, value.behind} - {""}
        elif isinstance(value, Hashed):
            found |= set(value.columns)
    return found


class Mapper:
    """Applies one rule. `max_field_bytes` is the longest text that workers accept."""

    def __init__(self, rule: Rule, max_field_bytes: int) -> None:
        self.rule = rule
        self.columns = columns_of(rule)
        self._most = max_field_bytes
        self._types = field_types(rule.kind)
        self._needed = [name for name in required(rule.kind) if name in self._types]
        read = {*FIELDS.get(rule.kind, self._types), *RULED}
        #: workers read no other texts, and so do not look at their length
        self._texts = [n for n, t in self._types.items() if t == pl.String and n in read]

    def apply(self, frame: pl.DataFrame, now_ms: int) -> Mapped:
        """Map all records of `frame`. `now_ms` is the time now, which no event may be far after."""
        made = frame.select(
            pl.int_range(pl.len(), dtype=pl.UInt32).alias(ROW), *self._expressions(frame)
        )
        faults: dict[int, str] = {}
        skipped: dict[str, int] = {}
        for name, reason in self.rule.skip_without.items():
            if made[name].null_count() and _BAD + name not in made.columns:
                left = made.filter(pl.col(name).is_not_null())
                skipped[reason] = skipped.get(reason, 0) + made.height - left.height
                made = left
        for name in self._types:
            if _BAD + name in made.columns:
                if made[_BAD + name].any():
                    self._note(faults, made, frame, name)
                made = made.drop(_BAD + name)
        for name in self._needed:
            if made[name].null_count():
                for row in made.filter(pl.col(name).is_null())[ROW].to_list():
                    faults.setdefault(row, f"missing_field: {name} has no value")
        if faults:
            made = made.filter(~pl.col(ROW).is_in(list(faults)))
        if self.rule.kind != "user":
            made = self._checked(made, faults, now_ms)
        return Mapped(made, sorted(faults.items()), skipped)

    def _checked(self, made: pl.DataFrame, faults: dict[int, str], now_ms: int) -> pl.DataFrame:
        """The records that workers accept: by their own rules."""
        stamped = made.with_columns(timestamp=pl.lit(now_ms, pl.Int64))
        good, bad = check(stamped, self._texts, self._most)
        if bad.is_empty():
            return good.drop("timestamp")
        for row, code, detail in bad.select(ROW, "code", "detail").iter_rows():
            faults[row] = f"{code}: {detail}. {REMEDIES[code]}"
        return good.drop("timestamp")

    def _note(
        self, faults: dict[int, str], made: pl.DataFrame, frame: pl.DataFrame, name: str
    ) -> None:
        value = self.rule.fields[name]
        assert isinstance(value, From)
        what = _meaning(name, value, self._types[name])
        for row in made.filter(pl.col(_BAD + name))[ROW].to_list():
            found = "" if value.column not in frame.columns else str(frame[value.column][row])
            faults.setdefault(row, f"column {value.column}: {found[:_SHOWN]!r} is no {what}")

    def _expressions(self, frame: pl.DataFrame) -> Iterator[pl.Expr]:
        defaults = {one["name"]: one for one in registry.raw(self.rule.kind)["fields"]}
        for name, kind in self._types.items():
            value = self.rule.fields.get(name, defaults[name].get("default"))
            if isinstance(value, From):
                yield from _taken(name, kind, value, frame)
            elif isinstance(value, Hashed):
                yield _hash(value, frame).alias(name)
            else:
                yield pl.lit(value, kind).alias(name)


def _taken(name: str, kind: pl.DataType, value: From, frame: pl.DataFrame) -> Iterator[pl.Expr]:
    """The field, and, where a value may be wrong, whether it is."""
    column = value.column if value.column in frame.columns else value.rather
    dtype = frame.schema.get(column)
    if dtype is None or dtype == pl.Null:
        yield pl.lit(None, kind).alias(name)
        return
    source = pl.col(column)
    if dtype.is_nested():
        yield pl.lit(None, kind).alias(name)
        yield source.is_not_null().alias(_BAD + name)
        return
    given = source
    if dtype == pl.String:
        given = pl.when(source.is_in(sorted(value.absent))).then(None).otherwise(source)
    made, surely = _converted(kind, value, given, dtype)
    if value.rather in frame.columns:
        made = pl.coalesce(_text_or_null(value.rather).cast(kind), made)
    if value.behind in frame.columns:
        more = _text_or_null(value.behind)
        made = pl.when(more.is_null()).then(made).otherwise(made + ":" + more)
    yield made.alias(name)
    if not surely:
        yield (given.is_not_null() & made.is_null()).alias(_BAD + name)


def _text_or_null(column: str) -> pl.Expr:
    text = pl.col(column).cast(pl.String)
    return pl.when(text == "").then(None).otherwise(text)


def _converted(
    kind: pl.DataType, value: From, given: pl.Expr, dtype: pl.DataType
) -> tuple[pl.Expr, bool]:
    """The value in the type of the field, null where it cannot be; and whether it always can."""
    if value.values:
        given, dtype = _replaced(value.values, given), pl.String()
        if kind == pl.String:
            return given, False
    if value.time is not None:
        return _time(value.time, given, dtype), False
    if kind == pl.String:
        return given.cast(pl.String), True
    if kind == pl.Boolean:
        if dtype == pl.Boolean:
            return given, True
        text = given.cast(pl.String).str.to_lowercase()
        return text.replace_strict(_FLAGS, default=None, return_dtype=pl.Boolean), False
    if isinstance(kind, pl.Enum):
        text = given.cast(pl.String).str.to_uppercase()
        return text.cast(kind, strict=False), False
    return given.cast(kind, strict=False), False


def _replaced(values: Mapping[str, Constant], given: pl.Expr) -> pl.Expr:
    texts = {name: _text(value) for name, value in values.items() if name != _ANY}
    other = _text(values[_ANY]) if _ANY in values else None
    text = given.cast(pl.String)
    made = text.replace_strict(texts, default=other, return_dtype=pl.String)
    return pl.when(text.is_null()).then(None).otherwise(made)


def _text(value: Constant) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _time(form: TimeFormat, given: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if form.unit:
        times, per = _UNITS[form.unit]
        number = given.cast(pl.Int64, strict=False)
        made = number * times if per == 1 else number.floordiv(per)
        if form.unit == "s":
            return pl.when(number.abs() >= _SURELY_MS).then(number).otherwise(made)
        return made
    text = given.cast(pl.String)
    if form.format == "iso":
        zone = ZoneInfo(form.zone)
        return text.map_elements(lambda one: _iso(one, zone), return_dtype=pl.Int64)
    moments = text.str.strptime(pl.Datetime("ms"), form.format, strict=False)
    if "%z" in form.format:
        return moments.dt.epoch("ms")
    zoned = moments.dt.replace_time_zone(form.zone, ambiguous="earliest", non_existent="null")
    return zoned.dt.epoch("ms")


def _iso(text: str, zone: ZoneInfo) -> int | None:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    moment = found if found.tzinfo else found.replace(tzinfo=zone)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _meaning(name: str, value: From, kind: pl.DataType) -> str:
    """What a column should have."""
    if value.values:
        return "value that the mapping names"
    if value.time is not None:
        form = value.time
        return f"time in {form.unit} since 1970" if form.unit else f"time as {form.format}"
    if kind == pl.Boolean:
        return "true or false"
    return name if isinstance(kind, pl.Enum) else "whole number"


def _hash(value: Hashed, frame: pl.DataFrame) -> pl.Expr:
    parts = [
        pl.col(name).cast(pl.String).fill_null("") if name in frame.columns else pl.lit("")
        for name in value.columns
    ]
    # lengths between them: "ab", "c" and "a", "bc" are different records
    texts = [part for one in parts for part in (one.str.len_bytes().cast(pl.String), one)]
    joined = pl.concat_str(*texts, separator="|")
    return joined.map_batches(_hashed, return_dtype=pl.String)


def _hashed(texts: pl.Series) -> pl.Series:
    found = [blake2b(one.encode(), digest_size=_HASH_BYTES).hexdigest() for one in texts.to_list()]
    return pl.Series(texts.name, found, pl.String)


def frame_of(records: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pl.DataFrame:
    """A frame of these fields of records, for example of JSON; a field of several types becomes
    text.
    """
    return pl.DataFrame([_series(name, [one.get(name) for one in records]) for name in columns])


def _series(name: str, values: list[Any]) -> pl.Series:
    types = {type(value) for value in values} - {type(None)}
    if types <= {str}:
        return pl.Series(name, values, pl.String)
    if types == {bool}:
        return pl.Series(name, values, pl.Boolean)
    if types == {int} and all(value is None or abs(value) < 1 << 63 for value in values):
        return pl.Series(name, values, pl.Int64)
    return pl.Series(name, [None if v is None else _plain(v) for v in values], pl.String)


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _text(value)
