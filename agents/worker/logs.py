"""The log of a worker: plain lines or JSON objects, with a limit on repeated messages."""

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import orjson

from schemas.words.shown import json_shown, shown
from streams.log_facts import facts_of

__all__ = ["JsonLines", "Plain", "configure"]

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
EVERY_S = 30.0

# they speak of their own parts; what matters of it the worker says itself
_QUIET = ("faust", "mode", "aiohttp", "asyncio", "aiokafka")
# one voice says that the broker is away, see supervision/broker_gate.py; every reader says so too
_CHATTY = (*_QUIET, "streams.kafka.fetch")


class Plain(logging.Formatter):
    """One line for each message, whatever text it quotes, with the facts behind it; tracebacks have
    several lines.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The line, with terminal control characters escaped."""
        found = facts_of(record).items()
        more = "".join(f" {name}={one}" for name, one in found if name != "access")
        return shown(super().formatMessage(record) + more)

    def formatException(self, ei: Any) -> str:  # noqa: N802
        """The traceback, line by line."""
        return "\n".join(map(shown, super().formatException(ei).split("\n")))


class JsonLines(logging.Formatter):
    """One JSON object for each message: time, level, logger, message, then the facts; `error` has
    the traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The object, in one line."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        found = facts_of(record)
        # a fact never takes the place of what every line has
        line: dict[str, object] = {
            **found,
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            # the line of the access log is an object itself, and one of the facts
            "message": "access" if "access" in found else shown(record.getMessage()),
        }
        if record.exc_info is not None:
            line["error"] = self.formatException(record.exc_info)
        text = orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        return json_shown(text)


class _Harmless(logging.Filter):
    """Drops one message: Kafka 4 answers an older client's next transaction with
    NOT_ENOUGH_REPLICAS if it comes too soon, and aiokafka repeats the request successfully.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not (
            record.name.startswith("aiokafka")
            and record.levelno == logging.WARNING
            and "NotEnoughReplicas" in record.getMessage()
        )


class _Flood(logging.Filter):
    """Allows the same message once in `EVERY_S` seconds.

    aiokafka retries ten times a second in every client, and logs each time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_CHATTY):
            return True
        what, now = (record.name, record.msg), time.monotonic()
        if now - self._said.get(what, -EVERY_S) < EVERY_S:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[what] = now
        return True


def configure(
    *,
    verbose: bool = False,
    stream: TextIO = sys.stderr,
    form: Literal["text", "json"] = "text",
) -> None:
    """Send the log of this process to `stream`; `verbose` adds the messages of libraries."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if form == "json" else Plain(FORMAT))
    if not verbose:
        handler.addFilter(_Harmless())
        handler.addFilter(_Flood())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
