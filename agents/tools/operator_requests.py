"""An operator's request: one command on the control topic, and its results."""

import getpass
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.tools.publish import Chunk, publish
from schemas.errors import Recoverable
from schemas.records import codec
from schemas.records.lifecycle import ALREADY_SO, Outcome
from schemas.records.registry import own_id
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader, records_of
from streams.kafka.topics import Topics
from streams.settings import Settings

__all__ = ["RequestAnswer", "ask", "command"]

Result = Mapping[str, Any]


@dataclass(slots=True)
class RequestAnswer:
    """The results of one request in control.results so far."""

    request_id: str
    whole: Result | None = None
    sources: dict[str, Result] = field(default_factory=dict)

    def take(self, result: Result) -> None:
        """Store the latest result of the request or of one of its sources."""
        if result["source"] is None:
            # After another outcome, what was refused is another command under the same id.
            if self.whole is None or result["outcome"] != Outcome.REFUSED:
                self.whole = result
        else:
            self.sources[result["source"]] = result

    @property
    def answered(self) -> bool:
        """Whether the request as a whole was accepted or refused."""
        return self.whole is not None

    @property
    def final(self) -> bool:
        """Whether no further result follows: the final result of the whole request comes last."""
        return self.whole is not None and Outcome(self.whole["outcome"]).final

    @property
    def bad(self) -> list[Result]:
        """Results that refuse or report a failure: those of sources, otherwise that of the whole
        request. What is so already is none of them.
        """
        whole = [] if self.whole is None else [self.whole]
        results = list(self.sources.values()) or whole
        return [
            result
            for result in results
            if result["outcome"] in (Outcome.REFUSED, Outcome.FAILED)
            and result["code"] not in ALREADY_SO
        ]


def command(
    kind: str,
    sources: tuple[str, ...] = (),
    *,
    tag: str | None = None,
    dry_run: bool = False,
    request_id: str | None = None,
    reason: str | None = None,
    notify: tuple[str, ...] = (),
) -> dict[str, Any]:
    """A command record; without a request id it gets a new one, requested by the logged-in user."""
    return {
        "type": kind,
        "sources": list(sources),
        "tag": tag,
        "dry_run": dry_run,
        "request_id": request_id or uuid.uuid4().hex,
        "requested_by": _user(),
        "notify": list(notify),
        "reason": reason,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have a number alone
        return f"uid {os.getuid()}"


async def ask(
    settings: Settings,
    record: Mapping[str, Any],
    *,
    wait: bool = True,
    silence_s: float = 30.0,
    on_result: Callable[[Result], None] = lambda result: None,
) -> RequestAnswer:
    """Send a command and read its results, until the request has ended or, without `wait`, is
    accepted.

    `on_result` is called with every result as it comes. For a known request id the coordinator
    sends the earlier results again. Raises Recoverable if no new result comes for `silence_s`
    seconds.
    """
    topics = Topics(settings.prefix)
    request_id = str(record["request_id"])
    answer = RequestAnswer(request_id)
    value = codec.encode("command", record, own_id("command"))
    results = [topics.control_results]
    async with TopicReader.open(KafkaLog(settings), results, from_end=True) as reader:
        await publish(settings, [Chunk("control", [request_id.encode()], [value])])
        heard = time.monotonic()
        while not (answer.final or (answer.answered and not wait)):
            if time.monotonic() - heard > silence_s:
                raise _unanswered(request_id, answer, silence_s)
            for result in records_of(await reader.some(), "result"):
                if result["request_id"] == request_id:
                    heard = time.monotonic()
                    answer.take(result)
                    on_result(result)
    return answer


def _unanswered(request_id: str, answer: RequestAnswer, silence_s: float) -> Recoverable:
    if answer.answered:
        return Recoverable(
            f"Request {request_id} was accepted, and nothing was heard for {silence_s:.0f} s",
            remedy="It goes on: look at `emberline status`, and at `emberline restores` or "
            "`emberline erasures`",
        )
    return Recoverable(
        f"No answer to request {request_id} within {silence_s:.0f} s",
        remedy="Is a worker running (`emberline worker`) with this prefix? "
        "The command stays in the control topic and is carried out when one comes up",
    )
