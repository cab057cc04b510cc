"""The topics against their specification."""

from collections.abc import Iterable, Iterator

from agents.verify.finding import Finding, Where, found
from agents.verify.kinds import FindingKind
from streams.kafka.topic_specs import TopicProblem

__all__ = ["check_topics"]


def check_topics(problems: Iterable[TopicProblem]) -> Iterator[Finding]:
    """Each difference with the remedy of its own."""
    for one in problems:
        missing = one.setting == "topic"
        kind = FindingKind.TOPIC_MISSING if missing else FindingKind.TOPIC_SETTING
        where = Where(one.topic, key=None if missing else one.setting)
        what = "the topic does not exist" if missing else f"it is {one.found}, not {one.expected}"
        yield found(kind, where, what, one.remedy)
