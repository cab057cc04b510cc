"""What a run has reached: faults that happened, and rare states that code was in.

`reached` counts; the runner adds up the counts of all seeds. `REQUIRED` says which of them a run of
so many seeds must have reached: a fault that never happens finds nothing.
"""

from collections import Counter

__all__ = ["counts", "missing", "reached", "reset"]

_counts: Counter[str] = Counter()

_OFTEN, _SOMETIMES, _RARELY = 200, 1_000, 3_000

REQUIRED: dict[str, int] = {
    **dict.fromkeys(
        (
            "check: expired source",
            "check: restored source",
            "check: users erased",
            "clock jumped",
            "crash: unflushed",
            "fact: expired",
            "fact: restored",
            "group: session timed out",
            "log: compacted",
            "log: deduplicated",
            "log: fenced",
            "log: open transaction fenced",
            "people: erasure asked",
            "people: record misplaced",
            "people: user deleted",
            "people: user merged",
            "question answered: archived",
            "question answered: audience",
            "question answered: figures",
            "question answered: persons",
            "question answered: rows",
            "question answered: sizes",
            "question answered: users",
            "question refused: HiddenSource",
            "question refused: RefusedAnswer",
            "question refused: Unavailable",
            "question: events came meanwhile",
            "question: merged users in an audience",
            "question: profile of merged users",
            "verify: erased_users",
            "verify: rows_compared",
            "workload: command repeated",
            "workload: definition deleted",
            "workload: event misplaced",
            "workload: event repeated",
            "workload: garbage",
            "workload: unreadable definition",
        ),
        _OFTEN,
    ),
    **dict.fromkeys(
        (
            "check: late rows of an expired source",
            "crash: flushed",
            "freeze: longer than the session",
            "group: member disowned",
            "group: no answer",
            "group: worker cut off",
            "log: broken",
            "log: late_markers",
            "log: refused",
            "log: repeated",
            "log: slow",
            "log: transaction timed out",
            "log: unknown_commit",
            "producer: transaction left open",
            "question: rows in the archive",
            "verify: drilled_sources",
            "verify: local_stores",
            "stopped in an orderly way",
        ),
        _SOMETIMES,
    ),
    **dict.fromkeys(
        (
            "brokers away",
            "check: a hold keeps rows of erased users",
            "crash: cut",
            "crash: damaged",
            "crash: lost",
            "crash: rolled back",
            "freeze: short",
            "log: failed_step",
            "log: hung",
            "mail: retry",
            "mail: unreachable",
            "one broker away",
            "peers: no connection",
            "question: merges that lead to nobody",
            "zombie: woke two generations later",
        ),
        _RARELY,
    ),
}
"""What must be reached, and in how many seeds at the latest."""


def reached(what: str, times: int = 1) -> None:
    """Note that this happened in the present run."""
    _counts[what] += times


def reset() -> None:
    """Forget everything: a new run begins."""
    _counts.clear()


def counts() -> Counter[str]:
    """What the present run has reached so far, as a copy."""
    return Counter(_counts)


def missing(total: Counter[str], seeds: int) -> list[str]:
    """What a run of so many seeds should have reached and has not."""
    return sorted(what for what, most in REQUIRED.items() if seeds >= most and not total[what])
