"""Every fuzz target: the reader's name, in groups of readers that one process takes in turn."""

from collections.abc import Mapping

from tests.rigs.hostile.fuzz import feeds, frames, json_inputs, kafka_bytes, logs, registry_answers
from tests.rigs.hostile.fuzz.target import Target

__all__ = ["GROUPS"]

GROUPS: Mapping[str, Mapping[str, Target]] = {
    "kafka": kafka_bytes.TARGETS,
    "feeds": feeds.TARGETS,
    "frames": frames.TARGETS,
    "json": json_inputs.TARGETS,
    "logs": logs.TARGETS,
    "registry": registry_answers.TARGETS,
}
