"""Requests that erase users, from the coordinator's log: what is asked of shards, and receipts."""

from collections.abc import Iterator
from dataclasses import replace

from agents.coordinator.rules import ledger
from agents.coordinator.rules.state import Erasure, ErasurePart
from streams.kafka.foreign_records import own_key

__all__ = ["ErasureView"]

_SEPARATOR = "\x1f"


class ErasureView:
    """One task updates it and many read it, all in one event loop. `RequestView` forgets receipts
    with their requests.
    """

    def __init__(self) -> None:
        self._orders: dict[str, Erasure] = {}
        self._known: dict[str, Erasure] = {}
        self._parts: dict[str, dict[int, ErasurePart]] = {}
        self.caught_up = False
        """Whether all that was there when the reading began has been applied."""
        self.stale = False
        """Whether something has changed of which readers have not been told."""

    def receipt(self, request_id: str) -> Erasure | None:
        """What the shards have done for a request, without its users; None if it is unknown."""
        known = self._known.get(request_id)
        return known and replace(known, parts=dict(self._parts.get(request_id, {})))

    def orders(self, partition: int) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        """The open requests that one shard has to carry out: id, moment, and its sealed users, of
        whom there may be none.
        """
        for request_id, erasure in list(self._orders.items()):
            users = erasure.orders.get(partition)
            if users is not None:
                yield request_id, erasure.time, users

    def named(self, request_id: str) -> list[str]:
        """The sealed users of an open request, of all shards."""
        found = self._orders.get(request_id)
        return [] if found is None else [one for users in found.orders.values() for one in users]

    def open(self, request_id: str) -> bool:
        """Whether a request is under way."""
        return request_id in self._orders

    def open_since(self) -> list[int]:
        """The moments of the requests that are under way, UTC milliseconds."""
        return [erasure.time for erasure in self._orders.values()]

    def forget(self, request_id: str) -> None:
        """Drop the receipt of a request that nobody keeps any more."""
        self._known.pop(request_id, None)
        self._parts.pop(request_id, None)

    def apply(self, key: bytes | None, value: bytes | None) -> None:
        """Process one record of the coordinator's log; most records concern something else.

        Raises ledger.Unreadable.
        """
        name = own_key(key) or ""
        letter, _, rest = name.partition("/")
        if letter not in ("e", "y", "z") or not ledger.known(name):
            return
        found = None if value is None else ledger.parsed(name, value)
        if letter == "z":
            request_id, _, partition = rest.partition(_SEPARATOR)
            self._put_part(request_id, int(partition), found)
        else:
            held = self._orders if letter == "e" else self._known
            held.pop(rest, None)
            if found is not None:
                held[rest] = found
        self.stale = self.stale or letter == "e"

    def _put_part(self, request_id: str, partition: int, part: ErasurePart | None) -> None:
        parts = self._parts.setdefault(request_id, {})
        parts.pop(partition, None)
        if part is not None:
            parts[partition] = part
        elif not parts:
            del self._parts[request_id]
