"""Makes our fields from foreign columns: one Polars expression for each, whatever has the columns.

The same expressions serve frames of files and of JSON, and the columns of whole record batches.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from schemas.mapping.rule import Constant, From, Hashed, TimeFormat
from schemas.tables.stable_hash import stable_hash

__all__ = [
    "ANY",
    "FLAGS",
    "ConvertedField",
    "columns_of",
    "converted",
    "hashed",
    "meaning",
    "numbered",
    "text_of",
]

Column = Callable[[str], pl.Expr]
"""From the name of a foreign column to an expression for it."""

FLAGS = {
    **dict.fromkeys(("true", "t", "yes", "y", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "0"), False),
}
"""Texts that are booleans, in any case."""
ANY = "*"
"""Stands for every other text in `values`."""
_UNITS = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
_SURELY_MS = 100_000_000_000
"""As seconds this is the year 5138."""
_ISO = r"^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,9}))?(Z|[+-]\d\d(?::?\d\d)?)?)?$"


@dataclass(frozen=True, slots=True)
class ConvertedField:
    """`value` is the field, null where it cannot be made. `bad` says where a value is that cannot
    become one; None if every value can.
    """

    value: pl.Expr
    bad: pl.Expr | None = None


def columns_of(value: From | Hashed | Constant) -> tuple[str, ...]:
    """The foreign columns that a value is made from."""
    if isinstance(value, From):
        named = (value.column, value.rather, value.behind)
        return tuple(dict.fromkeys(name for name in named if name))
    return value.columns if isinstance(value, Hashed) else ()


def converted(
    kind: pl.DataType, value: From, types: Mapping[str, pl.DataType], column: Column = pl.col
) -> ConvertedField:
    """The field of type `kind`. `types` are the foreign columns that there are: without its column
    a field is null.
    """
    name = value.column if value.column in types else value.rather
    dtype = types.get(name)
    if dtype is None or dtype == pl.Null:
        return ConvertedField(pl.lit(None, kind))
    source = column(name)
    if dtype.is_nested() or dtype == pl.Binary:
        return ConvertedField(pl.lit(None, kind), source.is_not_null())
    given = source
    if value.absent and (dtype == pl.String or value.absent != {""}):
        text = source.cast(pl.String)
        none = text == "" if value.absent == {""} else text.is_in(sorted(value.absent))
        given = pl.when(none).then(None).otherwise(source)
    made, surely = _made(kind, value, given, dtype)
    if value.rather in types:
        made = pl.coalesce(_text_or_null(column(value.rather)).cast(kind), made)
    if value.behind in types:
        more = _text_or_null(column(value.behind))
        made = pl.when(more.is_null()).then(made).otherwise(made + ":" + more)
    return ConvertedField(made, None if surely else given.is_not_null() & made.is_null())


def text_of(value: Constant) -> str:
    """A constant as the text of a field."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def meaning(name: str, value: From, kind: pl.DataType) -> str:
    """What the column of a field should have."""
    if value.values:
        return "value that the mapping names"
    if value.time is not None:
        form = value.time
        return f"time in {form.unit} since 1970" if form.unit else f"time as {form.format}"
    if kind == pl.Boolean:
        return "true or false"
    if kind == pl.String:
        return "text"
    return name if isinstance(kind, pl.Enum) else "whole number"


def hashed(
    value: Hashed,
    types: Mapping[str, pl.DataType],
    digest: Callable[[pl.Series], pl.Series],
    column: Column = pl.col,
) -> pl.Expr:
    """A text that `digest` makes of these columns: the same for the same values."""
    parts = [
        column(name).cast(pl.String).fill_null("") if name in types else pl.lit("")
        for name in value.columns
    ]
    # lengths between them: "ab", "c" and "a", "bc" are different records
    texts = [part for one in parts for part in (one.str.len_bytes().cast(pl.String), one)]
    joined = pl.concat_str(*texts, separator="|")
    return joined.map_batches(digest, return_dtype=pl.String)


def numbered(texts: pl.Series) -> pl.Series:
    """A short text for each, made of whole columns: shards keep 64 bits of an event's id anyway."""
    return stable_hash(texts).cast(pl.String).alias(texts.name)


def _text_or_null(source: pl.Expr) -> pl.Expr:
    text = source.cast(pl.String)
    return pl.when(text == "").then(None).otherwise(text)


def _made(
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
        return text.replace_strict(FLAGS, default=None, return_dtype=pl.Boolean), False
    if isinstance(kind, pl.Enum):
        text = given.cast(pl.String).str.to_uppercase()
        return text.cast(kind, strict=False), False
    return given.cast(kind, strict=False), False


def _replaced(values: Mapping[str, Constant], given: pl.Expr) -> pl.Expr:
    texts = {name: text_of(value) for name, value in values.items() if name != ANY}
    other = text_of(values[ANY]) if ANY in values else None
    text = given.cast(pl.String)
    made = text.replace_strict(texts, default=other, return_dtype=pl.String)
    return pl.when(text.is_null()).then(None).otherwise(made)


def _time(form: TimeFormat, given: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if form.unit:
        times, per = _UNITS[form.unit]
        number = given.cast(pl.Int64, strict=False)
        made = number * times if per == 1 else number.floordiv(per)
        if form.unit == "s":
            made = pl.when(number.abs() >= _SURELY_MS).then(number).otherwise(made)
        if dtype.is_integer():
            return made
        # seconds may have a fraction
        exact = given.cast(pl.Float64, strict=False)
        scaled = exact * times / per
        if form.unit == "s":
            scaled = pl.when(exact.abs() >= _SURELY_MS).then(exact).otherwise(scaled)
        scaled = scaled.floor().cast(pl.Int64, strict=False)
        return scaled if dtype.is_float() else pl.coalesce(made, scaled)
    text = given.cast(pl.String)
    if form.format == "iso":
        return _iso(text, form.zone)
    moments = text.str.strptime(pl.Datetime("ms"), form.format, strict=False)
    return moments.dt.epoch("ms") if "%z" in form.format else _zoned(moments, form.zone)


def _zoned(moments: pl.Expr, zone: str) -> pl.Expr:
    zoned = moments.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return zoned.dt.epoch("ms")


def _iso(text: pl.Expr, zone: str) -> pl.Expr:
    """ISO 8601: a date, and a time with or without a zone of its own."""
    plain = text.str.strip_chars()

    def part(number: int) -> pl.Expr:
        return plain.str.extract(_ISO, number)

    clock = part(2).fill_null("00:00") + part(3).fill_null(":00")
    moments = (part(1) + " " + clock).str.strptime(
        pl.Datetime("ms"), "%Y-%m-%d %H:%M:%S", strict=False
    )
    fraction = (part(4).str.pad_end(3, "0").str.slice(0, 3).cast(pl.Int64)).fill_null(0)
    own = part(5)
    digits = own.str.replace_all(r"[^0-9]", "")
    minutes = digits.str.slice(0, 2).cast(pl.Int64, strict=False) * 60
    minutes += digits.str.slice(2, 2).cast(pl.Int64, strict=False).fill_null(0)
    sign = pl.when(own.str.starts_with("-")).then(-1).otherwise(1)
    offset = pl.when(own == "Z").then(0).otherwise(sign * minutes)
    of_zone = pl.when(own.is_null()).then(_zoned(moments, zone))
    return of_zone.otherwise(moments.dt.epoch("ms") - offset * 60_000) + fraction
