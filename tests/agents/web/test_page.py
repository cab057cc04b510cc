"""The page's files: what is served, under which headers, in which languages, from which vendors."""

import hashlib
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from agents.filters.description import FieldType, described
from agents.filters.errors import CODES
from agents.filters.refusals import Code
from agents.http.keys import ISSUED, Scope
from agents.http.problem_codes import CODES as PROBLEMS
from agents.notify.outbox import NoticeKind
from agents.requests.imports import ImportState
from agents.shard.phase import ShardPhase
from agents.web.assets import Assets, assets
from agents.web.user_columns import COLUMNS
from schemas.records.undecodable import REMEDIES
from tests.rigs.given import Given
from tests.rigs.site import SHARDS, Site, active, serving

ROOM = Path(__file__).parents[3] / "agents" / "web" / "page"
MODULES = sorted(ROOM.glob("*.js"))
LANGUAGES = ("en", "es", "fr", "ja", "ko", "pt-BR")
TEXTS = {file.stem: json.loads(file.read_text()) for file in (ROOM / "texts").iterdir()}
DYNAMIC = (
    "signin.scope.",
    "problem.",
    *("failure.", "failure.remedy."),
    *("state.", "kind.", "do.", "ask.", "cost.", "type.", "outcome."),
    *("dialog.measured.", "dialog.unmeasured.", "refusal.", "refusal.already."),
    *("refusal.state.", "requests.", "requests.outcome."),
    *("source.by.", "source.channel.", "source.csv.", "source.event."),
    *("source.if.", "source.kind.", "source.measure.", "source.one."),
    *("source.part.none.", "source.since.", "source.status.", "source.why."),
    *("audience.about.", "audience.any.", "audience.as.", "audience.bound.", "audience.code."),
    *("audience.column.", "audience.empty.", "audience.field.", "audience.filter."),
    *("audience.format.", "audience.group.", "audience.joint."),
    *("audience.start.", "audience.unit.", "audience.value."),
    *("system.delivery.", "system.import.", "system.phase.", "system.remedy."),
    *("system.sweep.about.", "system.sweep.ask.", "system.sweep.do.", "system.sweep.state."),
    *("users.by.", "users.deed.", "users.gone.", "users.signal."),
)
MOST_BYTES = 200_000


def test_a_key_that_shows_nothing_is_told_what_each_of_its_scopes_allows() -> None:
    needed = {scope for scope in ISSUED if scope not in (Scope.READ, Scope.ADMIN)}
    for language in LANGUAGES:
        assert {f"signin.scope.{scope}" for scope in needed} <= TEXTS[language].keys()


async def test_browsers_get_the_page_and_programs_what_they_got_before(tmp_path: Path) -> None:
    site = Site(Given(tmp_path).settings, set(range(SHARDS)), active())
    async with serving(site) as session:
        url = site.context.address
        async with session.get(url + "/") as answer:
            assert (await answer.json())["openapi"] == "/openapi.json"
        accept = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
        async with session.get(url + "/", headers=accept) as answer:
            page, headers = await answer.text(), answer.headers
        assert answer.content_type == "text/html"
        policy = headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == (
            "no-cache",
            "nosniff",
        )
        assert "Accept" in headers["Vary"]
        names = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert names == [f"assets/{assets().version}/mark.svg", "assets/boot.js"]
        async with session.get(f"{url}/assets/boot.js") as answer:
            assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
        (listed,) = re.findall('data-files="([^"]+)"', page)
        assert set(re.findall('data-(?:app|style)="([^"]+)"', page)) <= set(listed.split())
        for name in (names[0], *listed.split()):
            async with session.get(f"{url}/{name}") as answer:
                assert (answer.status, answer.headers["Content-Encoding"]) == (200, "gzip")
                assert "immutable" in answer.headers["Cache-Control"]
                packed = await answer.read()
            async with session.get(f"{url}/{name}", headers={"Accept-Encoding": "br"}) as answer:
                assert "Content-Encoding" not in answer.headers
                assert await answer.read() == packed


async def test_a_missing_file_and_a_file_of_another_version_are_not_found(tmp_path: Path) -> None:
    site = Site(Given(tmp_path).settings, set(range(SHARDS)), active())
    version = assets().version
    async with serving(site) as session:
        for path in (
            f"{version}/none.js",
            f"{version}/list.json",
            f"{version}/__init__.py",
            f"{version}/%2e%2e%2fassets.py",
            f"{'0' * 16}/app.js",
            "app.js",
        ):
            async with session.get(f"{site.context.address}/assets/{path}") as answer:
                assert answer.status == 404, path


def test_the_version_depends_on_each_file() -> None:
    found = {"index.html": b'<a href="ASSETS/a.js" data="FILES">', "a.js": b"1", "boot.js": b""}
    first = Assets.of(found)
    assert f'"assets/{first.version}/a.js"'.encode() in first.index.body
    assert first.get(first.version, "a.js") is not None
    assert Assets.of(found | {"a.js": b"2"}).version != first.version
    assert Assets.of(found | {"b.js": b""}).version != first.version


def test_all_files_together_are_small() -> None:
    found = assets()
    english = [asset for name, asset in found.by_name.items() if not name.endswith(".json")]
    first_visit = sum(len(asset.packed) for asset in (found.index, found.boot, *english))
    assert first_visit + len(found.by_name["en.json"].packed) < MOST_BYTES


def test_vendored_files_are_those_of_the_list() -> None:
    listed = json.loads((ROOM / "vendor" / "list.json").read_text())
    assert {one["file"] for one in listed} == {
        file.name for file in (ROOM / "vendor").iterdir() if file.name != "list.json"
    }
    for one in listed:
        assert all(one[name] for name in ("name", "version", "licence", "origin"))
        found = (ROOM / "vendor" / one["file"]).read_bytes()
        assert hashlib.sha256(found).hexdigest() == one["sha256"]


def test_the_page_names_no_other_host_and_has_no_inline_code() -> None:
    for file in (*ROOM.glob("*.*"), *(ROOM / "vendor").glob("*.js")):
        text = file.read_text().replace("http://www.w3.org/", "")
        if file.parent.name == "vendor":
            text = re.sub(r"/\*.*?\*/|(?:^|\s)//[^\n]*", "", text, flags=re.DOTALL)  # comments
        assert not re.search(r"https?://\w", text), file.name
    page = (ROOM / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*src=)|\son\w+=", page)
    for file in MODULES:
        assert not re.search(r"style=|innerHTML|eval\(", file.read_text()), file.name


def test_no_language_lacks_a_text_or_a_part_of_one() -> None:
    assert sorted(TEXTS) == sorted(LANGUAGES)
    for language, texts in TEXTS.items():
        assert list(texts) == sorted(TEXTS["en"]), language
        for key, text in texts.items():
            for one in forms(text):
                assert one.strip(), (language, key)
                assert parts(one) == parts(forms(TEXTS["en"][key])[-1]), (language, key)


def test_french_has_a_space_before_its_colons_and_its_own_apostrophe() -> None:
    for key, text in TEXTS["fr"].items():
        for form in forms(text):
            assert not re.search(r"[\w}][:?!;](\s|$)|\w'\w", form), key


def test_a_text_with_a_count_has_a_form_for_one_where_the_language_has_one() -> None:
    for language, texts in TEXTS.items():
        wanted = {"other"} if language in ("ja", "ko") else {"one", "other"}
        for key, text in texts.items():
            if isinstance(TEXTS["en"][key], dict):
                assert isinstance(text, dict), (language, key)
                assert set(text) == wanted, (language, key)
            else:
                assert isinstance(text, str), (language, key)


def forms(text: str | dict[str, str]) -> list[str]:
    """The forms of a text; the last one is for a count that is not one."""
    return (
        [text] if isinstance(text, str) else [text[key] for key in sorted(text, key="other".__eq__)]
    )


def parts(text: str) -> list[str]:
    return sorted(re.findall(r"{\w+}", text))


def test_each_text_is_used_and_each_used_text_is_there() -> None:
    code = "".join(file.read_text() for file in MODULES)
    literal = set(re.findall(r'\bt\("([^"]+)"', code))
    assert literal <= set(TEXTS["en"])
    for key in TEXTS["en"]:
        assert f'"{key}"' in code or f"  {key}: {{" in code or key.startswith(DYNAMIC), key
    views = re.search(r"const VIEWS = {(.*?)\n};", code, re.DOTALL)
    assert views is not None
    for view in re.findall(r"^  (\w+): {", views[1], re.MULTILINE):
        assert view in TEXTS["en"], view
    for start in re.findall(r"\bt\(`([^$`]*)\$", code):
        assert start in DYNAMIC, start


def test_each_text_gets_the_parts_that_it_has() -> None:
    """A part that nobody fills in would be shown in its braces."""
    code = "".join(file.read_text() for file in MODULES)
    for key, given in re.findall(r'\bt\("([^"]+)"(?:\)|, \{([^{}]*)\}\))', code):
        names = {f"{{{name}}}" for name in re.findall(r"(\w+)(?=\s*(?:[:,]|$))", given.strip())}
        for form in forms(TEXTS["en"][key]):
            assert "..." in given or set(parts(form)) <= names, key
    known = re.search(r"const KNOWN = \[(.*?)\];", code, re.DOTALL)
    assert known is not None
    for decision in set(re.findall(r'"(\w+)"', known[1])) - {"state"}:
        assert not parts(forms(TEXTS["en"][f"source.event.{decision}"])[0]), decision


def test_the_form_of_an_audience_knows_what_the_parser_knows() -> None:
    code = (ROOM / "audience-fields.js").read_text()
    types = re.search(r"const TYPES = {(.*?)};", code, re.DOTALL)
    assert types is not None
    assert set(re.findall(r"^  (\w+):", types[1], re.MULTILINE)) == set(get_args(FieldType))
    wanted = set()
    for one in described():
        wanted |= {f"filter.{one.filter}", f"about.{one.about}"}
        for field in one.fields:
            wanted.add(f"field.{field.name}")
            words = [str(value) for value in field.values if re.fullmatch(r"\w+", str(value))]
            wanted |= {f"value.{field.name}.{value}" for value in words}
            if field.values and not field.required and field.default is None:
                wanted.add(f"any.{field.name}")
    wanted |= {f"column.{name}" for name in COLUMNS}
    texts = {key.removeprefix("audience.") for key in TEXTS["en"]}
    assert wanted <= texts
    starts = ("filter.", "about.", "field.", "value.", "column.")
    assert {key for key in texts if key.startswith(starts)} <= wanted


def test_each_refusal_of_a_filter_has_a_text() -> None:
    codes = listed_codes("audience-faults.js")
    assert codes == {*CODES, *(one.value for one in Code), "ambiguous_source"}
    texts = {key for key in TEXTS["en"] if key.startswith("audience.code.")}
    assert texts == {f"audience.code.{code}" for code in (*codes, "other")}


def test_each_problem_that_a_reader_may_meet_has_a_sentence() -> None:
    told, of_filters = (listed_codes(name) for name in ("problems.js", "audience-faults.js"))
    of_programs = {"foreign_host", "proxied", "method_not_allowed", "not_acceptable"}
    of_programs |= {"body_timeout", "unsupported_media_type"}
    # who has no certificate does not get the page either
    of_programs.add("no_certificate")
    exports = {"unknown_export", "export_unfinished", "export_failed"}
    assert told <= set(PROBLEMS)
    assert PROBLEMS.keys() - told - of_filters - of_programs - exports == {"forbidden"}
    assert {f"problem.{code}" for code in told} <= set(TEXTS["en"])


def listed_codes(module: str) -> set[str]:
    listed = re.search(r"const CODES = \[(.*?)\];", (ROOM / module).read_text(), re.DOTALL)
    assert listed is not None
    return set(re.findall(r'"(\w+)"', listed[1]))


def test_each_reason_of_a_rejected_record_has_a_remedy() -> None:
    code = (ROOM / "system-records.js").read_text()
    listed = re.search(r"const CODES = \[(.*?)\];", code, re.DOTALL)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed[1])) == set(REMEDIES)
    texts = {key for key in TEXTS["en"] if key.startswith("system.remedy.")}
    assert texts == {f"system.remedy.{code}" for code in REMEDIES}


def test_each_state_and_notice_of_the_system_has_a_text() -> None:
    code = (ROOM / "system-records.js").read_text()
    for kind in NoticeKind:
        assert re.search(rf'^  "?{re.escape(kind)}"?: "system.notice.', code, re.MULTILINE), kind
    wanted = {f"system.phase.{phase.value}" for phase in ShardPhase}
    wanted |= {f"system.import.{state.value}" for state in ImportState}
    assert wanted <= set(TEXTS["en"])


def markup(code: str) -> str:
    """The HTML of a module's templates, without expressions."""
    found: list[str] = []
    depths: list[int] = []
    kinds: list[bool | None] = []
    at = 0
    # `depths`: open braces within each expression of a template; the last one is the innermost
    in_html = False
    while at < len(code):
        if code.startswith("html`", at) and not in_html:
            kinds.append(True)
            in_html, at = True, at + 5
            continue
        one = code[at]
        if in_html or (kinds and kinds[-1] is False and not depths_open(depths, kinds)):
            if one == "`":
                kinds.pop()
                in_html = False
            elif code.startswith("${", at):
                depths.append(0)
                in_html, at = False, at + 2
                kinds.append(None)
                continue
            elif in_html:
                found.append(one)
        elif one == "`":
            kinds.append(False)
        elif one == "{" and depths:
            depths[-1] += 1
        elif one == "}" and depths:
            if depths[-1] == 0:
                depths.pop()
                kinds.pop()
                in_html = bool(kinds and kinds[-1] is True)
            else:
                depths[-1] -= 1
        at += 1
    return "".join(found)


def depths_open(depths: list[int], kinds: list[bool | None]) -> bool:
    """Whether the innermost part is an expression."""
    return bool(kinds) and kinds[-1] is None


def test_the_finder_of_markup_leaves_expressions_out() -> None:
    code = 'html`<a b=${`c ${d} e`}>${f && html`<i>${"g"}</i>`} h</a>`; "k"'
    assert markup(code) == "<a b=><i></i> h</a>"


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.name)
def test_modules_contain_no_text(file: Path) -> None:
    found = markup(file.read_text())
    assert not re.findall(r">[^<>]*[A-Za-z]{2,}[^<>]*<", found)
    assert not re.findall(r'(?:aria-label|title|placeholder|alt)="', found)


def test_texts_have_contrast_on_their_backgrounds_in_light_and_in_dark() -> None:
    """Also in states that no test of a whole page shows: 4.5 to 1 is what WCAG asks for."""
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6,8})\b", block))
        for block in re.findall(r":root {(.*?)\n *}", (ROOM / "style.css").read_text(), re.DOTALL)
    )
    chips = ("ember", "green", "blue", "violet", "amber", "red")
    for tokens in (light, light | dark):
        panel = rgb(tokens["panel"], (0, 0, 0))
        pairs = [(name, f"{name}-soft") for name in chips]
        pairs += [("soft", name) for name in ("bg", "panel", "grey-soft")]
        pairs += [("faint", name) for name in ("bg", "panel")]
        pairs += [("text", name) for name in ("bg", "panel", "ember-soft")]
        for text, ground in pairs:
            below = rgb(tokens[ground], panel)
            high, low = sorted((bright(rgb(tokens[text], below)), bright(below)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground, tokens[text])


def rgb(token: str, below: tuple[float, ...]) -> tuple[float, ...]:
    """A colour from 0 to 1, over another one where it is transparent."""
    *parts, alpha = (int(f"{token}ff"[at : at + 2], 16) / 255 for at in (1, 3, 5, 7))
    return tuple(
        alpha * part + (1 - alpha) * under for part, under in zip(parts, below, strict=True)
    )


def bright(colour: tuple[float, ...]) -> float:
    """The relative luminance of WCAG."""
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_the_frame_and_the_style_can_be_read() -> None:
    frame = ("app", "api", "boot", "link", "live", "parts", "texts")
    for file in (ROOM / "style.css", *(ROOM / f"{name}.js" for name in frame)):
        long = [line for line in file.read_text().splitlines() if len(line) > 120]
        assert long == [], file.name
    for rule in (ROOM / "style.css").read_text().splitlines():
        assert rule.count("{") <= 1, rule
