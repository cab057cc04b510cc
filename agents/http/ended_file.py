"""The ended sessions in a file of the worker's own folder: a worker that starts again knows them.

{"format": 1, "before": MS, "keys": {HASH: {"all_until": MS, "nonces": {NONCE: MS}}}}
"""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from agents.http import keys_file
from agents.http.session import EndedSessions, end_of
from schemas.errors import EmberlineError

__all__ = ["EndedFile", "read"]

log = logging.getLogger(__name__)

_NAME = "ended_sessions.json"
_FORMAT = 1


class EndedFile:
    """Saves the ended sessions of one worker. Belongs to an event loop."""

    def __init__(self, folder: Path, ended: EndedSessions) -> None:
        self._file = folder / _NAME
        self._ended = ended
        self._writing = asyncio.Lock()
        self._waits = False

    async def save(self) -> None:
        """Write the file, once for all that wait. A failure is logged: the worker itself knows the
        sessions as long as it runs.
        """
        if self._waits:
            async with self._writing:
                return
        self._waits = True
        async with self._writing:
            self._waits = False
            content = _packed(self._ended)
            try:
                await asyncio.to_thread(keys_file.replace, self._file, content)
            except EmberlineError as error:
                log.warning("this worker forgets ended sessions when it stops: %s", error)


def read(folder: Path, now_ms: int) -> EndedSessions:
    """The ended sessions of a folder. If the file cannot be read, all sessions that began before
    `now_ms` have ended: nobody knows which. Blocking.
    """
    file = folder / _NAME
    try:
        found = json.loads(file.read_bytes())
        if found["format"] != _FORMAT:
            raise ValueError(f"format {found['format']}")
        ended = EndedSessions(before=int(found["before"]))
        for key_hash, facts in found["keys"].items():
            ended.put(str(key_hash), _ends(facts["nonces"]), int(facts["all_until"]))
    except FileNotFoundError:
        return EndedSessions()
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        log.warning("%s cannot be read: %s; who signed in before now signs in again", file, error)
        return EndedSessions(before=end_of(now_ms))
    return ended


def _packed(ended: EndedSessions) -> bytes:
    keys = {
        key_hash: {"all_until": all_until, "nonces": nonces}
        for key_hash, nonces, all_until in ended.facts()
    }
    return json.dumps({"format": _FORMAT, "before": ended.before, "keys": keys}).encode()


def _ends(found: dict[Any, Any]) -> dict[str, int]:
    return {str(nonce): int(end) for nonce, end in found.items()}
