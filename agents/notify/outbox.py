"""The outbox: what is to be told, to whom, and how far that is. Pure: time is passed in.

A `Notice` is one fact. A `Delivery` is one notice on its way to one recipient. Every change is kept
as a record of the topic `notifications`: `changes` has those since they were last taken. The caller
commits them together with the position up to which facts have been read, so a fact becomes a notice
exactly once; a delivery may be sent twice, always under the same id.

Some facts are collected first, so that many of them make one notice: see `digest`.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from schemas.words.shown import shown
from streams.settings_values import Address

__all__ = [
    "Attempt",
    "Channel",
    "Collected",
    "Delivery",
    "DeliveryPolicy",
    "DeliveryState",
    "Notice",
    "NoticeKind",
    "Outbox",
    "Recipient",
    "Result",
    "identity",
]

MOST_PENDING = 10_000
"""Deliveries that wait. With so many no further facts are read: they stay in their topics."""
MOST_OVER = 1_000
"""Deliveries that were sent, and those that failed, of each so many are kept."""
MOST_COLLECTED = 10_000
ERROR_LENGTH = 500
_DAY_MS = 86_400_000


class NoticeKind(StrEnum):
    """What a notice tells; also the `type` of a webhook."""

    REQUEST = "request.finished"
    EXPIRING = "sources.expiring_soon"
    STUCK = "work.stuck"
    SWEEP = "sweep.waiting"
    TEST = "test"


class Channel(StrEnum):
    """How a notice is delivered."""

    MAIL = "mail"
    WEBHOOK = "webhook"


class DeliveryState(StrEnum):
    """`failed` deliveries are not tried again unless somebody asks for it."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"


class Result(StrEnum):
    """The result of one attempt. `unreachable`: the server answered nobody, so others need not
    try."""

    SENT = "sent"
    RETRY = "retry"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one attempt, with what the server said. `after_ms`: not before that."""

    result: Result
    detail: str = ""
    after_ms: int = 0


@dataclass(frozen=True, slots=True)
class Recipient:
    """A mail address, or the address of a webhook, and the language."""

    channel: Channel
    to: str
    language: str = "en"


@dataclass(frozen=True, slots=True)
class Notice:
    """One fact. `data` is JSON; `time` is UTC milliseconds."""

    id: str
    kind: NoticeKind
    time: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice on its way to one recipient. Times are UTC milliseconds.

    It is given up at `until`. `unreachable`: the last attempt reached no server.
    """

    id: str
    notice: str
    kind: NoticeKind
    channel: Channel
    to: str
    language: str
    created: int
    until: int
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    next_at: int = 0
    changed: int = 0
    unreachable: bool = False
    error: str = ""

    @property
    def server(self) -> str:
        """What does not answer if this cannot be delivered: all mail has one server."""
        return "mail" if self.channel is Channel.MAIL else self.to

    @property
    def shown(self) -> str:
        """The recipient without a password."""
        return self.to if self.channel is Channel.MAIL else Address(self.to).shown


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """How long and how often deliveries are tried. Milliseconds.

    The pause after an attempt triples each time, up to `longest_pause_ms`.
    """

    first_pause_ms: int = 5_000
    longest_pause_ms: int = 3_600_000
    longest_probe_ms: int = 300_000
    """The longest pause of a server that cannot be reached: it may be one message's fault."""
    mail_ms: int = 3 * _DAY_MS
    webhook_ms: int = _DAY_MS
    failed_kept_ms: int = 30 * _DAY_MS
    sent_kept_ms: int = 7 * _DAY_MS
    settle_ms: int = 60_000
    """Facts that are collected wait so long for others of the same kind."""
    every_ms: Mapping[NoticeKind, int] = field(
        default_factory=lambda: {
            NoticeKind.EXPIRING: _DAY_MS,
            NoticeKind.STUCK: 3_600_000,
            NoticeKind.SWEEP: 3_600_000,
        }
    )
    """At least so long from one notice of collected facts to the next."""

    def pause_ms(self, attempts: int) -> int:
        """The pause after so many attempts."""
        factor: int = 3 ** max(0, min(attempts - 1, 20))
        return min(self.longest_pause_ms, self.first_pause_ms * factor)

    def probe_ms(self, failures: int) -> int:
        """The pause of a server that could not be reached so many times."""
        return min(self.longest_probe_ms, self.pause_ms(failures))

    def waits(self, next_at: int, now: int) -> bool:
        """Whether a pause lasts. One that is longer than any was made while the clock was ahead."""
        return now < next_at <= now + self.longest_pause_ms

    def patience_ms(self, channel: Channel) -> int:
        """How long a delivery is tried."""
        return self.mail_ms if channel is Channel.MAIL else self.webhook_ms


@dataclass(frozen=True, slots=True)
class Collected:
    """Facts of one kind that wait for their notice, by key. `told_at`: when the last notice was
    made."""

    since: int = 0
    told_at: int = 0


@dataclass(frozen=True, slots=True)
class _Outage:
    """A server that could not be reached: how often, when it is tried again, what was said last."""

    failures: int = 0
    next_at: int = 0
    error: str = ""


def identity(*parts: object) -> str:
    """32 hex digits that depend only on the parts."""
    text = "\x1f".join(str(part) for part in parts)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


class Outbox:
    """All notices and deliveries that are not forgotten. Not for several tasks at a time."""

    def __init__(self, prefix: str, policy: DeliveryPolicy | None = None) -> None:
        self.prefix = prefix
        self.policy = policy or DeliveryPolicy()
        self.notices: dict[str, Notice] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.collected: dict[NoticeKind, dict[str, Mapping[str, Any]]] = {}
        self.marks: dict[NoticeKind, Collected] = {}
        #: Version of each source whose stuck work has been collected.
        self.stuck: dict[str, int] = {}
        self.question = ""
        """What a sweep has asked last."""
        #: Notices that some delivery is of, also of those that have no text any more.
        self.told: Counter[str] = Counter()
        self._pending: dict[str, None] = {}
        self.pending: Counter[Channel] = Counter()
        """Deliveries that wait, by channel."""
        #: By server; only in memory, so a notifier that takes over tries each server at once.
        self._outages: dict[str, _Outage] = {}
        self._changes: dict[tuple[str, str], object | None] = {}

    # What the log holds

    def restore(self, letter: str, key: str, value: Any) -> None:
        """Put back what a record of the log has; None deletes."""
        match letter:
            case "n":
                self._set(self.notices, key, value)
            case "d":
                former = self.deliveries.get(key)
                if former is not None:
                    self.told[former.notice] -= 1
                    if not self.told[former.notice]:
                        del self.told[former.notice]
                if value is not None:
                    self.told[value.notice] += 1
                if key in self._pending:
                    del self._pending[key]
                    self.pending[self.deliveries[key].channel] -= 1
                self._set(self.deliveries, key, value)
                if value is not None and value.state is DeliveryState.PENDING:
                    self._pending[key] = None
                    self.pending[value.channel] += 1
                    if value.unreachable:
                        self._outages.setdefault(value.server, _Outage(error=value.error))
            case "g":
                kind, _, name = key.partition("/")
                self._set(self.collected.setdefault(NoticeKind(kind), {}), name, value)
            case "l":
                self._set(self.marks, NoticeKind(key), value)
            case "k":
                self._set(self.stuck, key, value)
            case "w":
                self.question = value or ""

    @staticmethod
    def _set(table: dict[Any, Any], key: Any, value: Any) -> None:
        table.pop(key, None)
        if value is not None:
            table[key] = value

    def changes(self) -> dict[tuple[str, str], object | None]:
        """What has changed since the last call: (letter, key) -> value, None for what is gone."""
        found, self._changes = self._changes, {}
        return found

    @property
    def changed(self) -> bool:
        """Whether there are changes."""
        return bool(self._changes)

    def _put(self, letter: str, key: str, value: object | None) -> None:
        self.restore(letter, key, value)
        self._changes[letter, key] = value

    # Facts

    @property
    def full(self) -> bool:
        """Whether no further facts may be read for now."""
        return len(self._pending) >= MOST_PENDING

    def tell(self, notice: Notice, recipients: Iterable[Recipient], now: int) -> None:
        """Make the deliveries of a notice; those that exist stay as they are."""
        for one in dict.fromkeys(recipients):
            key = identity(notice.id, one.channel, one.to)
            if key in self.deliveries:
                continue
            if notice.id not in self.notices:
                self._put("n", notice.id, notice)
            until = now + self.policy.patience_ms(one.channel)
            made = Delivery(
                *(key, notice.id, notice.kind, one.channel, one.to, one.language, now, until),
                next_at=now,
                changed=now,
            )
            self._put("d", key, made)

    def notice(self, kind: NoticeKind, about: str, time: int, data: Mapping[str, Any]) -> Notice:
        """A notice whose id depends on the deployment, the kind, what it is about and the time."""
        return Notice(identity(self.prefix, kind, about, time), kind, time, data)

    def collect(self, kind: NoticeKind, key: str, item: Mapping[str, Any], now: int) -> None:
        """Keep a fact for the next notice of its kind."""
        kept = self.collected.get(kind, {})
        if key not in kept and len(kept) >= MOST_COLLECTED:
            return
        if not kept:
            mark = self.marks.get(kind, Collected())
            self._put("l", kind, replace(mark, since=now))
        self._put("g", f"{kind}/{key}", item)

    def drop(self, kind: NoticeKind, key: str | None = None) -> None:
        """Forget collected facts that are true no more: one, or all of a kind."""
        for name in [key] if key is not None else list(self.collected.get(kind, {})):
            if name in self.collected.get(kind, {}):
                self._put("g", f"{kind}/{name}", None)

    def note_stuck(self, source: str, version: int | None) -> None:
        """Remember that the stuck work of a source has been collected; None: it is over."""
        if self.stuck.get(source) != version:
            self._put("k", source, version)

    def note_question(self, question: str) -> None:
        """Remember what a sweep has asked last; empty for nothing."""
        if question != self.question:
            self._put("w", "", question or None)

    def digest(self, kind: NoticeKind, now: int) -> dict[str, Mapping[str, Any]] | None:
        """All collected facts of a kind, if their notice is due; they are collected no more."""
        kept = dict(self.collected.get(kind, {}))
        if not kept or now < self._digest_at(kind, now):
            return None
        self.drop(kind)
        self._put("l", kind, Collected(told_at=now))
        return kept

    def _digest_at(self, kind: NoticeKind, now: int) -> int:
        mark = self.marks.get(kind, Collected())
        # a time to come was noted while the clock was ahead: nothing waits for it
        settled = mark.since + self.policy.settle_ms if mark.since <= now else now
        if not mark.told_at or mark.told_at > now:
            return settled
        return max(settled, mark.told_at + self.policy.every_ms[kind])

    # Deliveries

    def due(self, now: int, busy: Collection[str], most: int) -> list[Delivery]:
        """The deliveries to be sent now, without those in `busy`: `most` at a time of all mail, and
        of each webhook, so that a slow one delays no other.

        Of a server that could not be reached, one delivery at a time is tried, and each time
        another one: the fault may be that of one message.
        """
        begun: Counter[str] = Counter()
        waits = self.policy.waits
        closed = {server for server, one in self._outages.items() if waits(one.next_at, now)}
        for key in busy:
            if key in self.deliveries:
                one = self.deliveries[key]
                begun[one.server] += 1
                if one.server in self._outages:
                    closed.add(one.server)
        found: list[Delivery] = []
        probes: dict[str, Delivery] = {}
        for key in self._pending:
            one = self.deliveries[key]
            server = one.server
            if server in closed or begun[server] >= most or waits(one.next_at, now) or key in busy:
                continue
            if server not in self._outages:
                begun[server] += 1
                found.append(one)
            elif one.attempts < probes.get(server, _NEVER).attempts:
                probes[server] = one
        return [*found, *probes.values()]

    def give_up(self, now: int, busy: Collection[str]) -> list[Delivery]:
        """Fail the deliveries whose time is over while their server could not be reached."""
        late = []
        for key in self._pending if self._outages else ():
            one = self.deliveries[key]
            if one.server in self._outages and one.until <= now and key not in busy:
                error = shown(one.error or self._outages[one.server].error)
                late.append(
                    replace(one, state=_FAILED, error=error, unreachable=False, changed=now)
                )
        for one in late:
            self._put("d", one.id, one)
        return late

    def done(self, key: str, attempt: Attempt, now: int) -> Delivery:
        """Note the result of an attempt; the delivery as it is now."""
        former = self.deliveries[key]
        tried = replace(
            former,
            attempts=former.attempts + 1,
            changed=now,
            # a server's words, which may be no text at all, go into records and logs
            error=shown(attempt.detail[:ERROR_LENGTH])[:ERROR_LENGTH],
            unreachable=attempt.result is Result.UNREACHABLE,
        )
        if attempt.result is Result.SENT:
            made = replace(tried, state=DeliveryState.SENT, error="")
        elif attempt.result is Result.REFUSED or now >= former.until:
            made = replace(tried, state=DeliveryState.FAILED, unreachable=False)
        else:
            pause = max(self.policy.pause_ms(tried.attempts), attempt.after_ms)
            made = replace(tried, next_at=min(now + pause, max(now, former.until)))
        self._put("d", key, made)
        self._note_server(made, attempt, now)
        return made

    def _note_server(self, tried: Delivery, attempt: Attempt, now: int) -> None:
        """Note whether a server could be reached."""
        server, former = tried.server, self._outages.get(tried.server, _Outage())
        if attempt.result is not Result.UNREACHABLE:
            if self._outages.pop(server, None) is not None:
                for one in [self.deliveries[key] for key in self._pending]:
                    if one.unreachable and one.server == server:
                        self._put("d", one.id, replace(one, unreachable=False))
            return
        failures, next_at = former.failures, former.next_at
        if not self.policy.waits(next_at, now):  # attempts that ran side by side fail once
            failures += 1
            next_at = now + max(self.policy.probe_ms(failures), attempt.after_ms)
        self._outages[server] = _Outage(failures, next_at, tried.error)

    def retry(self, key: str, now: int) -> bool:
        """Try a failed delivery again, as if it were new; whether there is one."""
        found = self.deliveries.get(key)
        if found is None or found.state is not DeliveryState.FAILED:
            return False
        until = now + self.policy.patience_ms(found.channel)
        again = replace(
            found, state=DeliveryState.PENDING, attempts=0, next_at=now, until=until, changed=now
        )
        self._put("d", key, again)
        return True

    def forget(self, now: int) -> None:
        """Drop what is over and old, and notices without a delivery."""
        for state, kept_ms in (
            (DeliveryState.SENT, self.policy.sent_kept_ms),
            (DeliveryState.FAILED, self.policy.failed_kept_ms),
        ):
            over = [one for one in self.deliveries.values() if one.state is state]
            over.sort(key=lambda one: one.changed)
            excess = len(over) - MOST_OVER
            for number, one in enumerate(over):
                if number < excess or one.changed < now - kept_ms:
                    self._put("d", one.id, None)
        # what was sent needs its text no more
        needed = {one.notice for one in self.deliveries.values() if one.state is not _SENT}
        for key in [key for key in self.notices if key not in needed]:
            self._put("n", key, None)


_SENT, _FAILED = DeliveryState.SENT, DeliveryState.FAILED
_NEVER = Delivery("", "", NoticeKind.TEST, Channel.MAIL, "", "", 0, 0, attempts=1 << 62)
"""Has been tried more often than any delivery."""
