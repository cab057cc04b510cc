r"""Encodes the state as records of the compacted topic `coordinator`, and decodes them.

    s/<source>            a source's bookkeeping
    k/<catalog key>       the last definition that was accepted
    a/<catalog key>       the quarantine of the latest definition, if it cannot be read
    r/<request id>        a request
    t/<request id>\x1f<source>   the last result of one source in it
    w                     the state of the sweep
    p/<source>            how far the shards are, for the workers only: not read back
    e/<request id>        the users that a request erases, sealed, until the request is over
    y/<request id>        such a request
    z/<request id>\x1f<partition>   what one shard has done for it

Values are JSON without the fields that have their default; a null value deletes. Other keys (`o`
the owner, `c` the cursors) belong to the actor.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any, TypeVar

from agents.coordinator.rules.checked import MALFORMED, checked, value_of
from agents.coordinator.rules.decision import Changed, Decision
from agents.coordinator.rules.quarantine import Quarantined, exempt, readable_uses
from agents.coordinator.rules.state import (
    CoordinatorState,
    Erasure,
    ErasurePart,
    Request,
    RequestResult,
    Source,
    Totals,
    Why,
    Work,
    WorkOrigin,
    WorkProgress,
)
from agents.coordinator.rules.sweep_state import SWEEP, RetentionSweep, sweep_of
from schemas.errors import Fatal
from schemas.records.lifecycle import (
    Definition,
    Exemption,
    Failure,
    Hold,
    Outcome,
    State,
    is_source,
)

__all__ = ["SWEEP", "LogEntry", "Unreadable", "entries", "foreign", "known", "load", "parsed"]

LogEntry = tuple[str, bytes | None]
_Kind = TypeVar("_Kind")

_MOST_DIGITS = 250_000
"""Of partitions as bits: a million of them."""
_LETTER = {
    "source": "s",
    "definition": "k",
    "request": "r",
    "result": "t",
    "sweep": "w",
    "quarantined": "a",
    "progress": "p",
    "order": "e",
    "erasure": "y",
    "part": "z",
}
_FORMS = frozenset(f"{letter}/" for letter in _LETTER.values() if letter != "w")


class Unreadable(Fatal):
    """The latest record of a `key` cannot be read."""

    def __init__(self, key: str, detail: str) -> None:
        super().__init__(
            f"coordinator record {key[:200]!r} cannot be read: {detail:.200}",
            remedy="If another version of emberline wrote it, run that one; "
            "else write the key's former value again, or a null value where it had none",
        )
        self.key = key


def known(key: str) -> bool:
    """Whether a key has one of the forms that `entries` makes."""
    return key == SWEEP or key[:2] in _FORMS


def foreign(key: str) -> bool:
    """Whether a key of a known form names something that is neither a source nor a definition."""
    letter, _, name = key.partition("/")
    return (letter in "sp" and not is_source(name)) or (
        letter in "ka" and not all(name.partition(":"))
    )


def _refuse(error: Unreadable) -> None:
    raise error


def entries(decision: Decision) -> list[LogEntry]:
    """The records that bring the topic from the former state to the decision's."""
    return [_entry(decision.state, changed) for changed in decision.changed]


def load(
    records: Iterable[LogEntry],
    *,
    segments_are_roots: bool,
    unreadable: Callable[[Unreadable], None] = _refuse,
) -> CoordinatorState:
    """The state that the records, in the order of the topic, describe.

    For a record that cannot be read, raises Unreadable, or calls `unreadable` and skips the record.
    """
    values: dict[str, Any] = {}
    for key, value in records:
        if value is None:
            values.pop(key, None)
        elif known(key):
            try:
                values[key] = parsed(key, value)
            except Unreadable as error:
                values.pop(key, None)
                unreadable(error)
    return _state(values, segments_are_roots)


def _entry(state: CoordinatorState, changed: Changed) -> LogEntry:
    kind, key = changed
    value: object | None
    match kind:
        case "source":
            value = state.sources.get(key)
        case "definition":
            value = state.catalog.get(key)
        case "progress":
            found = state.sources.get(key)
            value = None if found is None else found.progress()
        case "quarantined":
            value = state.quarantined.get(key)
        case "request":
            request = state.requests.get(key)
            # the topic has a record per source: one with all of them could grow too large
            value = None if request is None else replace(request, sources=())
        case "result":
            request_id, _, source = key.partition("\x1f")
            value = state.results.get((request_id, source))
        case "order":
            erasure = state.erasures.get(key)
            value = None if erasure is None or not erasure.orders else replace(erasure, parts={})
        case "erasure":
            erasure = state.erasures.get(key)
            value = None if erasure is None else replace(erasure, orders={}, parts={})
        case "part":
            request_id, _, partition = key.partition("\x1f")
            erasure = state.erasures.get(request_id)
            value = None if erasure is None else erasure.parts.get(int(partition))
        case _:
            return SWEEP, _dumped(state.sweep)
    return f"{_LETTER[kind]}/{key}", None if value is None else _dumped(value)


def _dumped(value: object) -> bytes:
    return json.dumps(_plain(value), separators=(",", ":")).encode()


@cache
def _durable(kind: type) -> tuple[tuple[str, Any], ...] | None:
    """The durable fields of a dataclass, each with its default; None for another type."""
    if not is_dataclass(kind):
        return None
    return tuple((part.name, part.default) for part in fields(kind) if part.compare)


def _plain(value: Any) -> Any:
    kind: type = type(value)
    parts = _durable(kind)
    if parts is not None:
        # a missing default equals no value
        return {
            name: _plain(found)
            for name, default in parts
            if (found := getattr(value, name)) is not default and found != default
        }
    if isinstance(value, frozenset):
        return _bits(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def parsed(key: str, value: bytes) -> Any:
    """The contents of a record under a key of a known form. Raises Unreadable.

    The key's letter determines the type: Source, Definition, Quarantined, Request, RequestResult or
    Sweep.
    """
    try:
        plain = _loaded(value, whole_text=key[0] != "a")
        match key[0]:
            case "s":
                return _of_key(key, source := _source(plain), source.source)
            case "k":
                return _of_key(key, made := checked(Definition.from_record(plain)), made.key)
            case "a":
                return _quarantined(plain)
            case "r":
                whole = _result(plain.get("whole"))
                notify = tuple(plain.get("notify", ()))
                codes = tuple(map(tuple, plain.get("untold_codes", ())))
                own = {"whole": whole, "sources": (), "notify": notify, "untold_codes": codes}
                return value_of(Request, {**plain, **own})
            case "t":
                return _result(plain)
            case "p":
                return value_of(WorkProgress, plain)
            case "e" | "y":
                return _erasure(plain)
            case "z":
                int(key.rpartition("\x1f")[2])
                return value_of(ErasurePart, {**plain, "held": tuple(plain.get("held", ()))})
            case _:
                return sweep_of(plain)
    except MALFORMED as error:
        raise Unreadable(key, f"{type(error).__name__} {error}") from error


def _loaded(value: bytes, *, whole_text: bool) -> Any:
    """The JSON of a record. Raises ValueError, with `whole_text` also for halves of surrogate
    pairs, which JSON can spell: text with them could never be written as a state or a result.
    """
    text = value.decode()  # json itself would take them as bytes, too
    plain = json.loads(text)
    if whole_text and ("\\ud" in text or "\\uD" in text):
        json.dumps(plain, ensure_ascii=False).encode()
    return plain


def _of_key(key: str, value: _Kind, name: str) -> _Kind:
    if key[2:] != name:
        raise ValueError(f"it is of {name[:80]!r}")
    return value


def _source(plain: dict[str, Any]) -> Source:
    plain["state"] = State(plain.get("state", State.UNKNOWN))
    plain["tags"] = tuple(plain.get("tags", ()))
    plain["noticed"] = tuple(plain.get("noticed", ()))
    plain["exempt_by"] = tuple(
        checked(Exemption(item["root"], tuple(item["through"]), item["filter"]))
        for item in plain.get("exempt_by", ())
    )
    plain["held"] = value_of(Hold, plain["held"]) if plain.get("held") else None
    plain["failure"] = value_of(Failure, plain["failure"]) if plain.get("failure") else None
    plain["archived"] = value_of(Totals, plain.get("archived", {}))
    plain["work"] = _work(plain["work"]) if plain.get("work") else None
    return value_of(Source, plain)


def _work(plain: dict[str, Any]) -> Work:
    plain["origin"] = _origin(plain["origin"])
    plain["then_restore"] = _origin(plain["then_restore"]) if plain.get("then_restore") else None
    plain["stuck"] = tuple(plain.get("stuck", ()))
    plain.pop("progress", None)
    plain.pop("shown_at", None)
    plain["reported"] = _partitions(plain.get("reported", "0"))
    plain["totals"] = value_of(Totals, plain.get("totals", {}))
    # as an earlier version kept them: of each partition
    reports = plain.pop("reports", {})
    if reports:
        plain["reported"] = frozenset(map(int, reports))
        plain["totals"] = Totals.sum([value_of(Totals, sizes) for sizes in reports.values()])
    return value_of(Work, plain)


def _bits(partitions: Collection[int]) -> str:
    """Numbers as the bits of one number, so that thousands of them take little space."""
    return f"{sum(1 << partition for partition in partitions):x}"


def _partitions(bits: str) -> frozenset[int]:
    if len(bits) > _MOST_DIGITS:
        raise ValueError(f"{len(bits)} digits name more partitions than there can be")
    # from the last digit on: to shift a long number once for each bit would take minutes
    return frozenset(at for at, bit in enumerate(reversed(f"{int(bits, 16):b}")) if bit == "1")


def _quarantined(plain: dict[str, Any]) -> Quarantined:
    return checked(
        Quarantined(
            detail=plain["detail"],
            words=tuple(plain.get("words", ())),
            kept=tuple(plain.get("kept", ())),
            active=plain.get("active", False),
        )
    )


def _origin(plain: dict[str, Any]) -> WorkOrigin:
    return value_of(WorkOrigin, {**plain, "why": Why(plain["why"])})


def _result(plain: dict[str, Any] | None) -> RequestResult | None:
    return (
        None
        if plain is None
        else value_of(RequestResult, {**plain, "outcome": Outcome(plain["outcome"])})
    )


def _erasure(plain: dict[str, Any]) -> Erasure:
    orders = {int(at): tuple(users) for at, users in plain.get("orders", {}).items()}
    if not all(isinstance(user, str) for users in orders.values() for user in users):
        raise ValueError("a user is a text")
    return value_of(Erasure, {**plain, "orders": orders, "parts": {}})


def _erasures(
    orders: Mapping[str, Erasure], known: Mapping[str, Erasure], parts: Mapping[str, ErasurePart]
) -> dict[str, Erasure]:
    of_request: dict[str, dict[int, ErasurePart]] = {}
    for key, part in parts.items():
        request_id, _, partition = key.partition("\x1f")
        of_request.setdefault(request_id, {})[int(partition)] = part
    return {
        key: replace(
            erasure,
            orders=orders[key].orders if key in orders else {},
            parts=dict(sorted(of_request.get(key, {}).items())),
        )
        for key, erasure in {**orders, **known}.items()
    }


def _state(values: Mapping[str, Any], segments_are_roots: bool) -> CoordinatorState:
    def of(letter: str) -> dict[str, Any]:
        return {key[2:]: value for key, value in values.items() if key[:2] == f"{letter}/"}

    results: dict[tuple[str, str], RequestResult] = {}
    sources_of: dict[str, list[str]] = {}
    for key, result in of("t").items():
        request_id, _, source = key.partition("\x1f")
        results[request_id, source] = result
        sources_of.setdefault(request_id, []).append(source)
    catalog: dict[str, Definition] = of("k")
    used = {key: readable_uses(definition) for key, definition in catalog.items()}
    quarantined: dict[str, Quarantined] = of("a")
    sources: dict[str, Source] = of("s")
    return CoordinatorState(
        catalog=catalog,
        sources=sources,
        requests={
            key: replace(request, sources=tuple(sources_of.get(key, ())))
            for key, request in of("r").items()
        },
        results=results,
        erasures=_erasures(of("e"), of("y"), of("z")),
        sweep=values.get("w", RetentionSweep()),
        quarantined=quarantined,
        used=used,
        exempt=exempt(catalog, used, quarantined, sources, segments_are_roots=segments_are_roots),
    )
