"""`python -m tests.sim`: runs seeds, and says how to repeat those that fail."""

import argparse
import asyncio
import cProfile
import logging
import os
import pstats
import sys
import time

from tests.sim.loop import WORKER
from tests.sim.plan import RunPlan
from tests.sim.planted.faults import PLANTED, planted
from tests.sim.run import Outcome, run
from tests.sim.seeds import Summary, command, environment, one, outcomes
from tests.sim.shrinking import shrunk

_SHOWN_FAILURES = 5
_PROFILED = 40


def main() -> int:
    """The exit code: 1 if a seed failed, or something was never reached."""
    arguments = _arguments()
    if os.environ.get("PYTHONHASHSEED") != "0" or os.environ.get("POLARS_MAX_THREADS") != "1":
        os.execve(sys.executable, [sys.executable, "-m", "tests.sim", *sys.argv[1:]], environment())
    if arguments.seed is not None and not arguments.profile:
        return _single(arguments)
    logging.disable(logging.CRITICAL)
    if arguments.profile:
        return _profile(arguments)
    return _many(arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", default="0:200", help="from:to, without the last one")
    parser.add_argument("--seed", type=int, help="one seed, with all that is logged")
    parser.add_argument("--plan", default="", help="changes of what the seed draws, as JSON")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--planted", default="", choices=["", *PLANTED], help="plant a fault")
    parser.add_argument("--no-shrink", action="store_true", help="leave failing seeds as they are")
    parser.add_argument(
        "--shrink-s", type=float, default=120.0, help="seconds for each failing seed"
    )
    parser.add_argument("--profile", action="store_true", help="show where the time goes")
    parser.add_argument("--quiet", action="store_true", help="no log of a single seed")
    return parser.parse_args()


def _many(arguments: argparse.Namespace) -> int:
    first, _, last = arguments.seeds.partition(":")
    seeds = range(int(first), int(last))
    summary, began, told = Summary(), time.monotonic(), time.monotonic()
    print(f"seeds {seeds.start} to {seeds.stop - 1} in {arguments.jobs} processes", flush=True)
    for outcome in outcomes(seeds, arguments.jobs, arguments.plan, arguments.planted):
        summary.take(outcome)
        if outcome.error:
            print(f"seed {outcome.plan.seed} failed: {outcome.error}", flush=True)
            print(f"  {command(outcome.plan, arguments.planted)}", flush=True)
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print(f"  {summary.seeds} of {len(seeds)}: {_speed(summary, told - began)}", flush=True)
    _report(summary, time.monotonic() - began)
    if not arguments.no_shrink:
        for failed in summary.failed[:_SHOWN_FAILURES]:
            _shrink(failed, arguments.planted, arguments.shrink_s)
    return 1 if summary.failed or summary.missing else 0


def _speed(summary: Summary, passed_s: float) -> str:
    hours = summary.virtual_s / 3600
    return (
        f"{summary.seeds / passed_s:.1f} seeds a second, "
        f"{3600 * hours / passed_s:.0f} times real time ({hours:.1f} simulated hours)"
    )


def _report(summary: Summary, passed_s: float) -> None:
    print("reached, in so many seeds:")
    for what, count in sorted(summary.reached.items(), key=lambda each: (each[1], each[0])):
        print(f"  {count:6} {what}")
    for what in summary.missing:
        print(f"never reached: {what}")
    print(
        f"{summary.seeds} seeds in {passed_s:.0f} s, {len(summary.failed)} failed; "
        f"{_speed(summary, passed_s)}",
        flush=True,
    )


def _shrink(failed: Outcome, plant: str, limit_s: float) -> None:
    def again(plan: RunPlan) -> Outcome:
        with planted(plant):
            return run(plan)

    print(f"seed {failed.plan.seed} is made smaller ...", flush=True)
    best = shrunk(failed, again, limit_s)
    print(f"  {best.error}\n  {command(best.plan, plant)}", flush=True)


def _single(arguments: argparse.Namespace) -> int:
    if arguments.quiet:
        logging.disable(logging.CRITICAL)
    else:
        handler = logging.StreamHandler()
        handler.addFilter(_with_moment)
        handler.setFormatter(logging.Formatter("%(moment)s %(message)s"))
        logging.basicConfig(level=logging.INFO, handlers=[handler])
    outcome = one(arguments.seed, arguments.plan, arguments.planted)
    print(outcome.plan)
    print(", ".join(f"{what} {count}" for what, count in sorted(outcome.reached.items())))
    print(
        f"{outcome.virtual_s:.1f} s simulated in {outcome.real_s:.1f} s, "
        f"{outcome.steps} callbacks, trace {outcome.trace}"
    )
    print(outcome.error or "every promise was kept")
    return 1 if outcome.error else 0


def _with_moment(record: logging.LogRecord) -> bool:
    """Adds the virtual time and the process of the worker."""
    try:
        now = f"{asyncio.get_running_loop().time():.3f}"
    except RuntimeError:  # in a thread, or before the run
        now = "-"
    record.moment = f"{now} {WORKER.get() or '-'}"
    return True


def _profile(arguments: argparse.Namespace) -> int:
    first, _, last = arguments.seeds.partition(":")
    seeds = range(int(first), int(last)) if arguments.seed is None else [arguments.seed]
    run(RunPlan.draw(0))  # what is imported and compiled once
    profile = cProfile.Profile()
    for seed in seeds:
        plan = RunPlan.changed(seed, arguments.plan)
        profile.enable()
        run(plan)
        profile.disable()
    for order in ("tottime", "cumtime"):
        pstats.Stats(profile).sort_stats(order).print_stats(_PROFILED)
    return 0


if __name__ == "__main__":
    sys.exit(main())
