"""Letters: what they say, and that no name can change what they are."""

from html.parser import HTMLParser
from typing import Any

import pytest

from agents.notify.catalogue import texts
from agents.notify.letter import letter_of, to_html, to_text
from agents.notify.mail import message_of
from agents.notify.outbox import Notice, NoticeKind
from streams.settings import LANGUAGES

EVIL = "Spring\r\nBcc: eve@example.com\x1b[31m\u202e<img src=x>"
NOW = 1_767_225_600_000


def part(source: str, **facts: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"source": source, "name": "", "state": "STOPPED"}
    found |= {"outcome": "completed", "code": None, "already": False, "message": ""}
    return {**found, "available_until": None, "available_because": None, **facts}


def request(*sources: dict[str, Any], **facts: Any) -> Notice:
    counts = {"total": len(sources), "refused": 0, "failed": 0}
    data = {"request_id": "r/1", "type": "restore", "state": "finished", "changed_at": NOW}
    data |= {"actor": "ops", "reason": None, "tag": None, "dry_run": False, "code": None}
    data |= {"message": "", "counts": counts, "sources": list(sources), "more": 0}
    return Notice("n1", NoticeKind.REQUEST, NOW, data | facts)


def text_of(notice: Notice, language: str = "en", url: str = "") -> str:
    return to_text(letter_of(notice, texts(language), "p.", url))


def test_a_restore_says_until_when_or_why_it_stays() -> None:
    notice = request(
        part("campaign:a", name="Spring", available_until=NOW),
        part("campaign:b", state="HELD", available_because="it is held"),
    )
    found = text_of(notice)
    assert "Available until: 2026-01-01" in found
    assert "Available until: stays: it is held" in found


def test_a_failure_has_reason_and_remedy() -> None:
    sources = (
        part("campaign:a", outcome="refused", code="legacy_deleted", message="deleted in 2019"),
        part("campaign:b"),
    )
    counts = {"total": 2, "refused": 1, "failed": 0}
    notice = request(*sources, state="failed", counts=counts)
    letter = letter_of(notice, texts("en"), "p.", "")
    assert letter.subject == "Restore failed: 2 sources"
    found = to_text(letter)
    assert "1 of 2 sources were refused or failed" in found
    assert "deleted before archiving began" in found
    assert "deleted in 2019" in found


def test_the_link_leads_to_the_request() -> None:
    assert "https://e.example/#/requests/r%2F1" in text_of(request(), url="https://e.example/")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_has_a_letter_in_every_language(language: str) -> None:
    soon = {"source": "campaign:a", "name": "A", "due_at": NOW, "days_left": 7, "since": NOW}
    soon |= {"state": "RESTORING", "shards": [1, 2]}
    for kind in NoticeKind:
        data = {"total": 1, "sources": [soon], "more": 3, "id": "q1"}
        notice = request(part("a")) if kind is NoticeKind.REQUEST else Notice("n", kind, NOW, data)
        letter = letter_of(notice, texts(language), "p.", "http://e")
        assert "{" not in letter.subject + to_text(letter) + to_html(letter)
        assert letter.subject


def test_a_name_adds_no_header_no_line_and_no_markup() -> None:
    notice = request(part("campaign:a", name=EVIL), reason=EVIL)
    letter = letter_of(notice, texts("en"), "p.", "")
    message = message_of(letter, sender="e@example.com", to="a@b.c", message_id="m", now_ms=NOW)
    names = [name for name, _ in message.items()]
    assert len(names) == len(set(names))
    assert "Bcc" not in names
    assert b"\nBcc:" not in message.as_bytes()
    for found in (letter.subject, to_text(letter), to_html(letter)):
        assert "\x1b" not in found
        assert "\u202e" not in found
    assert "Spring\\r\\nBcc" in letter.subject

    class Tags(HTMLParser):
        found: list[str] = []  # noqa: RUF012  # one parser

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.found.append(tag)

    parser = Tags()
    parser.feed(to_html(letter))
    assert "img" not in parser.found


NO_ADDRESS = ["a@b.c\r\nBcc: x@y.z", "a b@c.d", "Ann <a@b.c>", "a@b.c,x@y.z", "a@b.c;x", "no"]


@pytest.mark.parametrize("to", [*NO_ADDRESS, "a@b\x00"])
def test_what_is_no_single_address_is_refused(to: str) -> None:
    letter = letter_of(request(), texts("en"), "p.", "")
    with pytest.raises(ValueError, match="no mail address"):
        message_of(letter, sender="e@example.com", to=to, message_id="m", now_ms=NOW)
