"""Applies a mapping to a frame of foreign records, column by column."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import polars as pl

from schemas.decode.check import RULED, check
from schemas.mapping.convert import columns_of, converted, hashed, meaning
from schemas.mapping.field_types import field_types, required
from schemas.mapping.rule import From, Hashed, Rule
from schemas.records import registry
from schemas.records.undecodable import REMEDIES
from schemas.tables.projection import FIELDS

__all__ = ["ROW", "Mapped", "Mapper"]

ROW = "row"
"""The column with the number of a record in its frame, from 0."""

_SHOWN = 80
_BAD = "bad_"
_HASH_BYTES = 16


@dataclass(slots=True)
class Mapped:
    """The good records of a frame: our fields, and `row` (UInt32); the faults by row, in their
    order; and how many records were skipped, by reason.
    """

    rows: pl.DataFrame
    faults: list[tuple[int, str]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)


class Mapper:
    """Applies one rule. `max_field_bytes` is the longest text that workers accept."""

    def __init__(self, rule: Rule, max_field_bytes: int) -> None:
        self.rule = rule
        self.columns = {one for value in rule.fields.values() for one in columns_of(value)}
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
        what = meaning(name, value, self._types[name])
        for row in made.filter(pl.col(_BAD + name))[ROW].to_list():
            found = "" if value.column not in frame.columns else str(frame[value.column][row])
            faults.setdefault(row, f"column {value.column}: {found[:_SHOWN]!r} is no {what}")

    def _expressions(self, frame: pl.DataFrame) -> Iterator[pl.Expr]:
        defaults = {one["name"]: one for one in registry.raw(self.rule.kind)["fields"]}
        for name, kind in self._types.items():
            value = self.rule.fields.get(name, defaults[name].get("default"))
            if isinstance(value, From):
                made = converted(kind, value, frame.schema)
                yield made.value.alias(name)
                if made.bad is not None:
                    yield made.bad.alias(_BAD + name)
            elif isinstance(value, Hashed):
                yield hashed(value, frame.schema, _digests).alias(name)
            else:
                yield pl.lit(value, kind).alias(name)


def _digests(texts: pl.Series) -> pl.Series:
    """The same in every version, because a journal of imports outlives one."""
    found = [blake2b(one.encode(), digest_size=_HASH_BYTES).hexdigest() for one in texts.to_list()]
    return pl.Series(texts.name, found, pl.String)
