"""The outbox: pauses, servers that cannot be reached, limits, and its records."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.notify.outbox import (
    ERROR_LENGTH,
    MOST_OVER,
    MOST_PENDING,
    Attempt,
    Channel,
    Delivery,
    DeliveryPolicy,
    DeliveryState,
    Notice,
    NoticeKind,
    Outbox,
    Recipient,
    Result,
)
from agents.notify.outbox_log import FoundOutbox, apply, record

NOW = 1_767_225_600_000
HOUR, DAY = 3_600_000, 86_400_000
DOWN = Attempt(Result.UNREACHABLE, "connection refused")
LATER = Attempt(Result.RETRY, "451 later")
POLICY = DeliveryPolicy()


def mails(count: int) -> list[Recipient]:
    return [Recipient(Channel.MAIL, f"u{number}@example.com") for number in range(count)]


def made(*recipients: Recipient, request: str = "r") -> Outbox:
    outbox = Outbox("p.")
    notice = outbox.notice(NoticeKind.REQUEST, request, NOW, {"request_id": request})
    outbox.tell(notice, recipients, NOW)
    return outbox


def tried(outbox: Outbox, now: int) -> list[Delivery]:
    return outbox.due(now, (), 100)


def test_pauses_triple_up_to_an_hour() -> None:
    pauses = [POLICY.pause_ms(attempts) // 1000 for attempts in range(1, 9)]
    assert pauses == [5, 15, 45, 135, 405, 1215, 3600, 3600]
    assert POLICY.pause_ms(10_000) == HOUR


@pytest.mark.parametrize(("channel", "days"), [(Channel.MAIL, 3), (Channel.WEBHOOK, 1)])
def test_it_is_tried_until_its_time_is_over(channel: Channel, days: int) -> None:
    outbox = made(Recipient(channel, "to"))
    now, attempts = NOW, 0
    while found := tried(outbox, now):
        attempts += 1
        assert attempts < 200
        now = max(now, outbox.done(found[0].id, LATER, now).next_at)
    (one,) = outbox.deliveries.values()
    assert (one.state, one.error) == (DeliveryState.FAILED, "451 later")
    assert one.changed == NOW + days * DAY
    assert attempts == pytest.approx(days * 24, abs=8)


def test_of_a_server_that_is_down_one_delivery_at_a_time_is_tried() -> None:
    hook = Recipient(Channel.WEBHOOK, "https://hooks.example.com/")
    outbox = made(*mails(5), hook)
    first = tried(outbox, NOW)
    assert len(first) == 6
    for one in first[:3]:
        outbox.done(one.id, DOWN, NOW)
    assert [one.channel for one in tried(outbox, NOW)] == [Channel.WEBHOOK]
    outbox.done(first[5].id, Attempt(Result.SENT), NOW)
    assert tried(outbox, NOW) == []
    now = NOW + POLICY.first_pause_ms
    (probe,) = tried(outbox, now)
    assert tried(outbox, now)[0] == probe
    assert outbox.due(now, {probe.id}, 100) == []
    outbox.done(probe.id, DOWN, now)
    assert tried(outbox, now) == []
    now += POLICY.pause_ms(2)
    (probe,) = tried(outbox, now)
    outbox.done(probe.id, Attempt(Result.SENT), now)
    # the server is back: what was not tried, or is due again, goes out together
    assert len(tried(outbox, now)) == 4


def test_one_message_that_breaks_the_connection_holds_up_no_other() -> None:
    outbox = made(*mails(4))
    poison = tried(outbox, NOW)[0].id
    now, sent_at = NOW, dict[str, int]()
    while outbox.deliveries[poison].state is DeliveryState.PENDING:
        if now == NOW + HOUR:  # others come while only the bad one waits
            notice = outbox.notice(NoticeKind.REQUEST, "later", NOW, {})
            outbox.tell(notice, mails(3), now)
        for one in outbox.due(now, (), 1):
            bad = one.id == poison
            outbox.done(one.id, DOWN if bad else Attempt(Result.SENT), now)
            if not bad:
                sent_at[one.id] = now - one.created
        outbox.give_up(now, ())
        now += 1_000
    assert len(sent_at) == 6
    assert max(sent_at.values()) <= POLICY.longest_probe_ms + 6_000
    assert outbox.deliveries[poison].error == DOWN.detail


def test_each_time_another_message_tries_a_server_that_is_down() -> None:
    outbox = made(*mails(5))
    now, order = NOW, list[str]()
    while len(order) < 10:
        for one in outbox.due(now, (), 4)[:1]:
            order.append(one.id)
            outbox.done(one.id, DOWN, now)
        now += 1_000
    assert len(set(order[:5])) == len(set(order[5:])) == 5


def test_a_successor_tries_one_message_of_a_server_that_was_down_at_once() -> None:
    outbox, again = made(*mails(3)), Outbox("p.")
    outbox.done(tried(outbox, NOW)[0].id, DOWN, NOW)
    for (letter, key), value in outbox.changes().items():
        again.restore(letter, key, value)
    assert len(tried(again, NOW)) == 1


@given(st.text() | st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF)))
def test_whatever_a_server_says_is_text_in_one_line_and_not_long(said: str) -> None:
    outbox = made(*mails(1))
    (one,) = outbox.deliveries
    error = outbox.done(one, Attempt(Result.REFUSED, said), NOW).error
    assert not {unicodedata.category(char) for char in error} & {"Cc", "Cs", "Zl", "Zp"}
    assert len(error.encode()) <= 4 * ERROR_LENGTH


def test_a_slow_webhook_takes_no_place_of_another_nor_of_mail() -> None:
    slow, other = (Recipient(Channel.WEBHOOK, f"https://{name}.example.com/") for name in "ab")
    outbox = made(slow)
    for number in range(9):
        notice = outbox.notice(NoticeKind.REQUEST, f"r{number}", NOW, {})
        outbox.tell(notice, [slow, other, *mails(1)], NOW)
    busy = {one.id for one in outbox.deliveries.values() if one.to == slow.to}
    found = outbox.due(NOW, busy, 4)
    assert Counter(one.server for one in found) == {other.to: 4, "mail": 4}
    assert len(outbox.due(NOW, (), 4)) == 12


@pytest.mark.parametrize("answer", [LATER, DOWN])
def test_a_clock_that_was_ahead_delays_no_message(answer: Attempt) -> None:
    """Pauses that were noted then would last until that time."""
    outbox, ahead = made(*mails(2)), NOW + DAY
    for one in tried(outbox, ahead):
        outbox.done(one.id, answer, ahead)
    found = tried(outbox, NOW)
    assert found
    outbox.done(found[0].id, answer, NOW)
    again = [one.id for one in tried(outbox, NOW)]
    assert found[0].id not in again, "pauses hold again"
    assert bool(again) is (answer is LATER)


def test_a_clock_that_was_ahead_delays_no_digest() -> None:
    outbox, ahead = Outbox("p."), NOW + 365 * DAY
    outbox.collect(NoticeKind.STUCK, "campaign:a", {"source": "campaign:a"}, ahead)
    assert outbox.digest(NoticeKind.STUCK, NOW), "it is settled"
    outbox.collect(NoticeKind.STUCK, "campaign:a", {"source": "campaign:a"}, ahead)
    assert outbox.digest(NoticeKind.STUCK, ahead + HOUR)
    outbox.collect(NoticeKind.STUCK, "campaign:b", {"source": "campaign:b"}, NOW)
    assert outbox.digest(NoticeKind.STUCK, NOW) is None
    assert outbox.digest(NoticeKind.STUCK, NOW + POLICY.settle_ms)


def test_what_waits_for_a_server_that_is_down_fails_with_its_error() -> None:
    outbox = made(*mails(3))
    first = tried(outbox, NOW)[0]
    outbox.done(first.id, DOWN, NOW)
    assert outbox.give_up(NOW + 3 * DAY - 1, ()) == []
    late = outbox.give_up(NOW + 3 * DAY, ())
    assert len(late) == 3
    assert {(one.state, one.error) for one in late} == {(DeliveryState.FAILED, DOWN.detail)}


def test_few_are_sent_at_a_time() -> None:
    outbox = made(*mails(9))
    found = outbox.due(NOW, (), 4)
    assert len(found) == 4
    assert len(outbox.due(NOW, {one.id for one in found[:3]}, 4)) == 1


def test_a_notice_told_again_makes_nothing_new() -> None:
    outbox = made(*mails(2))
    known = dict(outbox.deliveries)
    notice = outbox.notice(NoticeKind.REQUEST, "r", NOW, {"request_id": "r"})
    outbox.tell(notice, mails(2), NOW + 1)
    assert outbox.deliveries == known


def test_an_id_depends_on_deployment_request_time_and_recipient() -> None:
    ids: set[str] = set()
    for prefix, about, time in (("p.", "r", 1), ("q.", "r", 1), ("p.", "s", 1), ("p.", "r", 2)):
        outbox = Outbox(prefix)
        outbox.tell(outbox.notice(NoticeKind.REQUEST, about, time, {}), mails(2), NOW)
        ids |= outbox.deliveries.keys()
    assert len(ids) == 8


def test_it_is_full_before_it_is_large_and_forgets_what_is_old() -> None:
    outbox = made(*mails(MOST_PENDING - 1))
    assert not outbox.full
    outbox.tell(outbox.notice(NoticeKind.REQUEST, "s", NOW, {}), mails(1), NOW)
    assert outbox.full
    for number, key in enumerate(list(outbox.deliveries)):
        answer = Attempt(Result.SENT if number % 2 else Result.REFUSED)
        outbox.done(key, answer, NOW + number)
    outbox.forget(NOW)
    assert len(outbox.deliveries) == 2 * MOST_OVER
    outbox.forget(NOW + 8 * DAY)
    assert {one.state for one in outbox.deliveries.values()} == {DeliveryState.FAILED}
    assert outbox.notices, "what failed may be tried again"
    outbox.forget(NOW + 31 * DAY)
    assert not outbox.deliveries
    assert not outbox.notices
    assert not outbox.told


words = st.text(max_size=10)
deliveries = st.builds(
    Delivery,
    *(words.filter(bool), words, st.sampled_from(NoticeKind), st.sampled_from(Channel)),
    *(words, words, st.integers(0, 1 << 50), st.integers(0, 1 << 50)),
    state=st.sampled_from(DeliveryState),
    attempts=st.integers(0, 99),
    unreachable=st.booleans(),
    error=words,
)


@given(st.lists(deliveries, max_size=5))
def test_what_is_written_is_read_back(found: list[Delivery]) -> None:
    outbox, again = Outbox("p."), FoundOutbox(Outbox("p."))
    for one in found:
        outbox._put("d", one.id, one)
        outbox._put("n", one.notice, Notice(one.notice, one.kind, 1, {"x": [one.error]}))
    outbox.collect(NoticeKind.STUCK, "campaign:a/b", {"source": "campaign:a/b"}, NOW)
    outbox.note_stuck("campaign:a", 3)
    outbox.note_question("q1")
    for (letter, key), value in outbox.changes().items():
        made = record("t", f"{letter}/{key}", value)
        apply(again, (made.key or b"").decode(errors="surrogatepass"), made.value)
    for name in ("deliveries", "notices", "collected", "marks", "stuck", "question", "told"):
        assert getattr(again.outbox, name) == getattr(outbox, name), name


@given(words, st.binary(max_size=40))
def test_any_record_is_applied_or_refused(key: str, value: bytes) -> None:
    found = FoundOutbox(Outbox("p."))
    for letter in "ndglkqwcox":
        try:
            apply(found, f"{letter}/{key}", value)
        except ValueError:
            continue


def test_a_delivery_of_a_later_version_is_read_without_its_further_fields() -> None:
    (one,) = made(*mails(1)).deliveries.values()
    value = record("t", "d/x", one).value or b""
    found = FoundOutbox(Outbox("p."))
    apply(found, "d/x", value.replace(b"{", b'{"priority":{"level":3},', 1))
    assert found.outbox.deliveries["x"] == one
    with pytest.raises(ValueError, match="TypeError"):
        apply(found, "d/x", value.replace(b'"until"', b'"other"'))
