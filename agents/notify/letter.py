"""A notice in words: one letter in one language, rendered as plain text and as HTML. Pure.

Names, reasons and messages were chosen by other people: characters that act are escaped
(schemas/words/shown.py), and in HTML also those of markup.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from agents.notify.catalogue import Texts
from agents.notify.outbox import Notice, NoticeKind
from schemas.words.shown import shown

__all__ = ["Letter", "letter_of", "to_html", "to_text"]

SUBJECT_LENGTH = 150
CELL_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Letter:
    """What a message says. `facts` are labels with values; `rows` is a table under `head`."""

    language: str
    subject: str
    paragraphs: Sequence[str]
    facts: Sequence[tuple[str, str]] = ()
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    more: str = ""
    link: tuple[str, str] | None = None
    footer: str = ""


def letter_of(notice: Notice, texts: Texts, prefix: str, public_url: str) -> Letter:
    """The letter of a notice. `public_url`: empty for no link."""
    made = _MAKERS[notice.kind](notice, texts)
    path = ""
    if notice.kind is NoticeKind.REQUEST:
        path = f"/#/requests/{quote(str(notice.data['request_id']), safe='')}"
    link = (texts("link"), public_url.rstrip("/") + path) if public_url else None
    more = int(notice.data.get("more") or 0)
    return Letter(
        language=texts.language,
        subject=_clipped(made.subject, SUBJECT_LENGTH),
        paragraphs=made.paragraphs,
        facts=made.facts,
        head=made.head,
        rows=made.rows,
        more=texts("more", count=more) if more else "",
        link=link,
        footer=texts("footer", prefix=prefix),
    )


def to_text(letter: Letter) -> str:
    """Plain text, lines ended by \\n."""
    blocks = ["\n".join(letter.paragraphs)]
    if letter.facts:
        blocks.append("\n".join(f"{label}: {value}" for label, value in letter.facts))
    blocks += [
        "\n".join(f"{label}: {cell}" for label, cell in zip(letter.head, row, strict=True) if cell)
        for row in letter.rows
    ]
    if letter.more:
        blocks.append(letter.more)
    if letter.link:
        blocks.append(": ".join(letter.link))
    return "\n\n".join([*blocks, f"-- \n{letter.footer}"]) + "\n"


def to_html(letter: Letter) -> str:
    """HTML without anything to load."""
    parts = [f"<p>{html.escape(text)}</p>" for text in letter.paragraphs]
    if letter.facts:
        parts.append(_table((), letter.facts))
    if letter.rows:
        parts.append(_table(letter.head, letter.rows))
    if letter.more:
        parts.append(f"<p>{html.escape(letter.more)}</p>")
    if letter.link:
        label, url = map(html.escape, letter.link)
        parts.append(f'<p><a href="{url}">{label}</a></p>')
    parts.append(f'<p style="color:#666">{html.escape(letter.footer)}</p>')
    title = html.escape(letter.subject)
    return (
        f'<!doctype html><html lang="{letter.language}"><head><meta charset="utf-8">'
        f'<title>{title}</title></head><body style="font-family:sans-serif">'
        f"{''.join(parts)}</body></html>"
    )


_CELL = "padding:2px 12px 2px 0;text-align:left;vertical-align:top"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [_row("th", head)] if head else []
    lines += [_row("td", row) for row in rows]
    return f"<table>{''.join(lines)}</table>"


def _row(tag: str, cells: Sequence[str]) -> str:
    made = (f'<{tag} style="{_CELL}">{html.escape(cell)}</{tag}>' for cell in cells)
    return f"<tr>{''.join(made)}</tr>"


def _request(notice: Notice, texts: Texts) -> Letter:
    data = notice.data
    sources: Sequence[Mapping[str, Any]] = data["sources"]
    counts = data["counts"]
    failed = data["state"] == "failed"
    key = f"type.{data['type']}"
    kind = texts.get(key) or texts("type.other")
    if counts["total"] == 1 and sources:
        what = _named(sources[0])
    elif counts["total"]:
        what = texts("sources.count", count=counts["total"])
    else:
        what = str(data["request_id"])
    subject = texts(
        f"request.subject.{'failed' if failed else 'finished'}", type=kind, what=_clipped(what)
    )
    bad = counts["refused"] + counts["failed"]
    if not failed:
        paragraphs = [texts("request.text.finished")]
    elif counts["total"]:
        paragraphs = [texts("request.text.failed", bad=bad, total=counts["total"])]
    else:
        paragraphs = [texts("request.text.refused"), *_explained(data["code"], texts)]
    if data["dry_run"]:
        paragraphs.append(texts("request.text.dry_run"))
    facts = [
        (texts("label.request"), data["request_id"]),
        (texts("label.asked_by"), data["actor"]),
        (texts("label.tag"), data["tag"]),
        (texts("label.reason"), data["reason"]),
        (texts("label.message"), data["message"] if failed else ""),
        (texts("label.time"), _time(data["changed_at"])),
    ]
    restored = data["type"] == "restore"
    head = [texts("label.source"), texts("label.result"), texts("label.message")]
    rows = [[_named(one), _result(one, texts), _why(one, texts)] for one in sources]
    if restored:
        head.append(texts("label.until"))
        for row, one in zip(rows, sources, strict=True):
            row.append(_until(one, texts))
    shown_facts = [(label, _clipped(str(value))) for label, value in facts if value]
    return Letter(texts.language, subject, paragraphs, shown_facts, head, rows)


def _result(one: Mapping[str, Any], texts: Texts) -> str:
    if one["already"]:
        return texts("result.already")
    return texts.get(f"result.{one['outcome']}") or texts("result.running")


def _why(one: Mapping[str, Any], texts: Texts) -> str:
    """Why a source was refused or failed, and what to do."""
    if one["already"] or one["outcome"] not in ("refused", "failed"):
        return ""
    explained = _explained(one["code"], texts)
    if texts.language == "en" or not explained:
        detail = _clipped(str(one["message"]))
        explained = [*explained, f"({detail})" if explained and detail else detail]
    return " ".join(explained).strip()


def _explained(code: str | None, texts: Texts) -> list[str]:
    found = texts.get(f"code.{code}")
    return [found] if found else []


def _until(one: Mapping[str, Any], texts: Texts) -> str:
    if one["available_until"] is not None:
        return _date(one["available_until"])
    return texts.get(f"stays.{one['state']}") if one["available_because"] else ""


def _soon(notice: Notice, texts: Texts) -> Letter:
    head = [texts("label.source"), texts("label.due"), texts("label.days")]
    rows = [
        [_named(one), _date(one["due_at"]), str(one["days_left"] or "")]
        for one in notice.data["sources"]
    ]
    return Letter(
        texts.language, _counted("soon", notice, texts), [texts("soon.text")], (), head, rows
    )


def _stuck(notice: Notice, texts: Texts) -> Letter:
    head = [texts(f"label.{name}") for name in ("source", "state", "since", "shards")]
    rows = [
        [
            _named(one),
            texts.get(f"state.{one['state']}", str(one["state"])),
            _time(one["since"]),
            ", ".join(map(str, one["shards"])),
        ]
        for one in notice.data["sources"]
    ]
    return Letter(
        texts.language, _counted("stuck", notice, texts), [texts("stuck.text")], (), head, rows
    )


def _sweep(notice: Notice, texts: Texts) -> Letter:
    count, question = notice.data["total"], notice.data["id"]
    text = texts("sweep.text", count=count, id=question)
    return Letter(texts.language, texts("sweep.subject", count=count), [text])


def _test(_: Notice, texts: Texts) -> Letter:
    return Letter(texts.language, texts("test.subject"), [texts("test.text")])


_MAKERS = {
    NoticeKind.REQUEST: _request,
    NoticeKind.EXPIRING: _soon,
    NoticeKind.STUCK: _stuck,
    NoticeKind.SWEEP: _sweep,
    NoticeKind.TEST: _test,
}


def _counted(key: str, notice: Notice, texts: Texts) -> str:
    count, sources = notice.data["total"], notice.data["sources"]
    if count == 1:
        return texts(f"{key}.subject.one", what=_named(sources[0]))
    return texts(f"{key}.subject", count=count)


def _named(one: Mapping[str, Any]) -> str:
    """The name of a source, and its key."""
    key, name = _clipped(str(one["source"])), _clipped(str(one["name"]))
    return f"{name} ({key})" if name else key


def _clipped(text: str, most: int = CELL_LENGTH) -> str:
    safe = shown(text)
    return safe if len(safe) <= most else f"{safe[: most - 1]}…"


def _time(ms: int) -> str:
    return f"{_moment(ms):%Y-%m-%d %H:%M} UTC"


def _date(ms: int) -> str:
    return f"{_moment(ms):%Y-%m-%d}"


def _moment(ms: int) -> datetime:
    # a time that no calendar has is shown as the last one it has
    return datetime.fromtimestamp(min(ms, _LAST_MS) / 1000, UTC)


_LAST_MS = 253_402_300_799_000
