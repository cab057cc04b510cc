"""Runs a fuzz target in a process of its own: an abort of a native library is a failure too.

`python -m tests.rigs.hostile.fuzz.run GROUP --examples N` makes the same inputs each time;
`--seconds S --seed N` goes on with other seeds, from N on, for so long.
"""

import argparse
import logging
import resource
import time
from pathlib import Path
from typing import Any, TextIO

import hypothesis
import polars as pl
from hypothesis import HealthCheck, Phase, given

from tests.rigs.hostile.fuzz.target import Target, TooMuch, bounded, resident
from tests.rigs.hostile.fuzz.targets import GROUPS

__all__ = ["main"]

_SPACE = 6 << 30
"""Address space of the process: what asks for more ends it."""
_WARM = 20
"""So many inputs are not measured: libraries begin with threads and buffers."""
_ROUND = 3_000
_SECONDS = 10.0
"""One input that takes longer is a loop."""


def main() -> None:
    """Run the targets of a group; ends with 1 and the least failing input, or by a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("group")
    parser.add_argument("--examples", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--last", type=Path, required=True)
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (_SPACE, _SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    logging.disable(logging.CRITICAL)
    for name, chosen in GROUPS[asked.group].items():
        # before an input is read it stands there: nothing comes after an abort
        with asked.last.open("w") as last:
            taken = [0]
            if asked.examples:
                _once(name, chosen, asked.examples, None, last, taken)
            until, seed = time.monotonic() + asked.seconds, asked.seed
            while time.monotonic() < until:
                _once(name, chosen, _ROUND, seed, last, taken)
                seed += 1
        print(f"{name}: {taken[0]} inputs, then {resident() >> 10} MB", flush=True)


def _bounded(chosen: Target, value: Any) -> None:
    """Twice, if the first time takes too much: native libraries keep memory for later."""
    try:
        with bounded(chosen.most_mb):
            chosen.take(value)
    except TooMuch:
        with bounded(chosen.most_mb):
            chosen.take(value)


def _once(
    name: str, chosen: Target, examples: int, seed: int | None, last: TextIO, taken: list[int]
) -> None:
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=seed is None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        print_blob=False,
    )
    @given(chosen.inputs)
    def one(value: Any) -> None:
        last.seek(0)
        last.write(f"{name}, seed {seed}: {value!r}".encode(errors="replace").decode())
        last.truncate()
        last.flush()
        began = time.monotonic()
        try:
            if taken[0] < _WARM:
                chosen.take(value)
            else:
                _bounded(chosen, value)
        except pl.exceptions.PanicException as error:
            # it derives from BaseException: Hypothesis would not shrink its input
            raise AssertionError(f"a panic: {error}") from error
        taken[0] += 1
        assert time.monotonic() - began < _SECONDS, "one input took too long"

    (one if seed is None else hypothesis.seed(seed)(one))()


if __name__ == "__main__":
    main()
