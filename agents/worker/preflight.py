"""The conditions that a worker checks before it starts; each error names its remedy."""

import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.reference.rights import rights
from agents.supervision.broker_gate import BrokerGate
from schemas.errors import Fatal, Recoverable
from streams.kafka.environment import Environment
from streams.kafka.log import Log
from streams.kafka.refusal import BrokerRefuses, Denied
from streams.settings import Settings

__all__ = ["locked", "rights_checked", "rights_on_topics", "topics_checked"]

log = logging.getLogger(__name__)

LOCK = "worker.lock"
_NAMED = 8


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other workers out of a data folder.

    Raises Fatal if another worker uses it. The lock ends with the process, also if the process is
    killed.
    """
    try:
        _private(folder)
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise Fatal(
            f"The data folder {folder} cannot be used: {error.strerror}",
            remedy="Set --data-dir to a folder that this user may write to",
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise Fatal(
                f"The data folder {folder} is used by another worker (process {holder})",
                remedy="Stop that one, or give this one a --data-dir and --http-port of its own",
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _private(folder: Path) -> None:
    """Make the folder private to its owner, because it has every user's rows. A folder that is not
    known to be a worker's keeps its mode.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if not stat.S_IMODE(found.st_mode) & 0o077:
        return
    if found.st_uid == os.geteuid() and ((folder / LOCK).exists() or not any(folder.iterdir())):
        folder.chmod(0o700)
    else:
        log.warning("other users may read the data folder %s: chmod 700 %s", folder, folder)


def rights_on_topics(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The operations by topic that a worker needs."""
    needed = (right for right in rights(settings, "worker") if right.resource == "topic")
    return {right.name: right.operations for right in needed}


async def rights_checked(environment: Environment) -> None:
    """Wait for the broker, then compare the rights of this client with those of a worker.

    Raises BrokerRefuses if the brokers do not accept it, Denied with the rights that it lacks.
    """
    settings, admin = environment.settings, environment.kafka.admin
    wanted = rights_on_topics(settings)
    gate = BrokerGate(environment.kafka, patient=False)
    while True:
        await gate.passed()
        try:
            lacking = await admin.lacking(wanted, f"{settings.prefix}shard-0")
        except BrokerRefuses:
            raise  # only a person can change it
        except Recoverable as error:
            log.warning("%s", error)
            continue
        if not lacking:
            return
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        named = f"{', '.join(lacking[:_NAMED])}{more}"
        raise Denied(
            f"This worker lacks rights on the cluster: {named}",
            remedy="`emberline topics acls --role worker` prints the commands that grant them",
        )


async def topics_checked(kafka: Log) -> None:
    """Wait for the broker, then compare the topics with their specification.

    Settings of our own topics that an earlier version created differently are corrected, and
    logged. Raises Fatal naming the missing topics, or the first wrong topic, its setting and the
    remedy; the others are logged. Raises BrokerRefuses if the brokers do not accept this client, or
    it lacks a right.
    """
    gate = BrokerGate(kafka, patient=False)
    while True:
        await gate.passed()
        try:
            problems, _ = await kafka.admin.inspect()
            if any(problem.repairable for problem in problems):
                for problem in await kafka.admin.repair():
                    log.warning("topic %s, and is now", problem)
                problems, _ = await kafka.admin.inspect()
        except BrokerRefuses:
            raise  # only a person can change it
        except Recoverable as error:
            log.warning("%s", error)
            continue
        break
    for problem in (problem for problem in problems if problem.tolerable):
        log.error("topic %s. %s", problem, problem.remedy)
    problems = [problem for problem in problems if not problem.tolerable]
    if not problems:
        return
    missing = [problem for problem in problems if problem.setting == "topic"]
    if missing:
        names = ", ".join(problem.topic for problem in missing)
        raise Fatal(f"Topics are missing: {names}", remedy=missing[0].remedy)
    for problem in problems[1:]:
        log.error("topic %s. %s", problem, problem.remedy)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    raise Fatal(f"Topic {problems[0]}{more}", remedy=problems[0].remedy)
