"""What becomes of a request, for people: a live line while it runs, then each source with the date
until which its data is available.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agents.cli.named import read_states
from agents.requests.availability import availability
from agents.terminal.amounts import day, when
from agents.terminal.lines import why
from agents.terminal.progress import LiveLine
from agents.terminal.say import say
from agents.terminal.table import columns, prose, show
from schemas.errors import EmberlineError
from schemas.records.lifecycle import ALREADY_SO, Outcome, SourceState, State
from schemas.words.plural import plural
from streams.settings import Settings

__all__ = [
    "ToldRequest",
    "available_text",
    "is_bad",
    "outcome_counts",
    "outcome_text",
    "states_of",
    "tally",
]

Result = Mapping[str, Any]

_MOST_ROWS = 50
"""Sources that a terminal shows one by one; of others it shows how many there are."""
_BAD = (Outcome.REFUSED, Outcome.FAILED)
_DELETED = "deleted for good"
_HIDDEN = {
    State.EXPIRING: "moves to the archive",
    State.EXPIRED: "`emberline restore` brings it back",
    State.RESTORING: "comes back from the archive",
}
_TITLES = {"restore": "Restore", "expire": "Expire", "cancel": "Cancel"}


class ToldRequest:
    """The results of one request as they come.

    On a terminal they are one live line; elsewhere each result is a line, except progress and what
    was refused or failed, which is told at the end.
    """

    def __init__(self, kind: str, *, quiet: bool) -> None:
        self._quiet = quiet
        self._terminal = columns() is not None
        # others are over at once
        self._live = LiveLine(_TITLES.get(kind, kind), quiet=quiet or kind not in _TITLES)
        self._sources: dict[str, Result] = {}
        self._whole: Result | None = None

    def take(self, result: Result) -> None:
        """Show one more result."""
        if result["source"] is not None:
            self._sources[result["source"]] = result
        # after another outcome, what was refused is another command under the same id
        elif self._whole is None or result["outcome"] != Outcome.REFUSED:
            self._whole = result
        if self._quiet:
            return
        if self._live.due:
            # goes through all sources: not with each result of ten thousand
            done, total, unit = tally(self._sources, self._whole)
            self._live.show(done, total, unit=unit)
        if self._terminal or is_bad(result) or result["outcome"] == Outcome.PROGRESS:
            return
        say(_line(result))

    def end(self) -> None:
        """Erase the live line."""
        self._live.clear()

    def report(
        self, states: Mapping[str, SourceState], now_ms: int, *, dry_run: bool = False
    ) -> None:
        """Show where each source stands that is over; of a dry run, what would happen to it."""
        good = {source: result for source, result in self._sources.items() if not is_bad(result)}
        if not self._terminal:
            for source in good:
                if source in states and not dry_run:
                    say(f"{source}: {available_text(states[source])}")
            return
        if self._whole is not None and not self._sources and not is_bad(self._whole):
            prose(_of_all(self._whole))
        if 0 < len(good) <= _MOST_ROWS:
            show(
                ("name", "source", "outcome", "state", "data"),
                [
                    _row(source, result, states.get(source), None if dry_run else now_ms)
                    for source, result in good.items()
                ],
                copied=2,
            )
        elif good and dry_run:
            say(f"dry run: {outcome_counts(good).replace('completed', 'would be done')}")
        elif good:
            for line in _together(good, states, now_ms):
                say(line)

    @property
    def untold(self) -> int:
        """How many sources have no result of their own: of very many results name some of those
        that were refused, or are so already, and a repeated request tells some again.
        """
        expected = 0 if self._whole is None else int(self._whole["total"])
        return max(0, expected - len(self._sources)) if self._sources and self.over else 0

    @property
    def over(self) -> bool:
        """Whether no further result follows."""
        return self._whole is not None and Outcome(self._whole["outcome"]).final

    @property
    def bad(self) -> Sequence[Result]:
        """What was refused or failed."""
        return [result for result in self._sources.values() if is_bad(result)]


def is_bad(result: Result) -> bool:
    """Whether something was refused or failed. What is so already is as was asked."""
    return result["outcome"] in _BAD and result["code"] not in ALREADY_SO


def outcome_text(result: Result) -> str:
    """The outcome of a request or of a source, in a few words."""
    return "so already" if result["code"] in ALREADY_SO else str(result["outcome"])


async def states_of(settings: Settings) -> dict[str, SourceState]:
    """The sources as they stand; empty if they cannot be read now."""
    try:
        return await read_states(settings)
    except EmberlineError:
        return {}


def tally(sources: Mapping[str, Result], whole: Result | None) -> tuple[float, float | None, str]:
    """How far a request is: done, total and their unit.

    Segments, if every source that is not over tells them; else sources.
    """
    working = [one for one in sources.values() if one["outcome"] not in _BAD]
    expected = int(whole["total"]) if whole is not None else 0
    running = [one for one in working if not Outcome(one["outcome"]).final]
    if working and len(sources) >= expected and all(one["total"] for one in running):
        total = sum(one["total"] for one in working)
        if total:
            done = sum(
                one["total"] if Outcome(one["outcome"]).final else one["done"] for one in working
            )
            return done, total, "segments"
    over = sum(Outcome(one["outcome"]).final for one in sources.values())
    if whole is not None and whole["outcome"] == Outcome.PROGRESS:
        over = max(over, int(whole["done"]))
    return over, max(expected, len(sources)) or None, "sources"


def available_text(record: SourceState, now_ms: int | None = None) -> str:
    """`available until DATE`, or why the data stays, or why it is not available. Without `now_ms`
    the date is exact.
    """
    until, because = availability(record)
    if until is not None:
        if now_ms is not None and until <= now_ms:
            return "available until the next sweep"
        return f"available until {when(until) if now_ms is None else day(until, now_ms)}"
    if because is None:
        reason = _DELETED if record.legacy_deleted else _HIDDEN.get(record.state, "")
        return f"not available: {reason or record.state.value}"
    return f"stays available: {why(record) or because}"


def outcome_counts(results: Mapping[str, Result]) -> str:
    """`9,998 completed, 2 refused`."""
    counts = Counter(map(outcome_text, results.values()))
    return ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(counts.items()))


def _line(result: Result) -> str:
    line = f"{result['source'] or 'request ' + result['request_id']}: {outcome_text(result)}"
    return f"{line}, {result['message']}" if result["message"] else line


def _of_all(whole: Result) -> str:
    """A request without sources, on a terminal: nobody needs its id once it is over."""
    message = str(whole["message"])
    if not Outcome(whole["outcome"]).final or not message:
        return _line(whole)
    return f"{message[0].upper()}{message[1:]}"


def _row(
    source: str, result: Result, record: SourceState | None, now_ms: int | None
) -> tuple[object, ...]:
    """`now_ms` None: of a dry run."""
    if record is None:
        return (None, source, outcome_text(result), None, result["message"])
    if now_ms is None:
        message = result["message"].removeprefix("dry run: ")
        return (record.name, source, "dry run", record.state.value, message)
    data = available_text(record, now_ms)
    return (record.name, source, outcome_text(result), record.state.value, data)


def _together(
    results: Mapping[str, Result], states: Mapping[str, SourceState], now_ms: int
) -> Iterator[str]:
    """Many sources in a few lines."""
    yield outcome_counts(results)
    dates = [availability(states[source])[0] for source in results if source in states]
    known = sorted(date for date in dates if date is not None)
    if known:
        first, last = day(known[0], now_ms), day(known[-1], now_ms)
        until = first if first == last else f"{first} to {last}"
        yield f"{len(known):,} {plural(len(known), 'is', 'are')} available until {until}"
    stays = Counter(
        because
        for source in results
        if source in states and (because := availability(states[source])[1]) is not None
    )
    for because, count in stays.most_common(5):
        yield f"{count:,} {plural(count, 'stays', 'stay')} available: {because}"
    hidden = sum(states[source].hidden for source in results if source in states)
    if hidden:
        yield (
            f"{hidden:,} {plural(hidden, 'is', 'are')} not available: `emberline status` lists "
            f"{plural(hidden, 'it', 'them')}"
        )
