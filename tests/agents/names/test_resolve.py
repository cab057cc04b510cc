"""What a text names: precedence, ambiguity, what nobody sees, and the nearest."""

import random
import unicodedata
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.names.form import form
from agents.names.index import NameIndex
from agents.names.resolve import AmbiguousSource, UnknownName, resolve
from schemas.records.lifecycle import SourceState, State


def source(key: str, name: str = "", state: State = State.ACTIVE) -> SourceState:
    return SourceState(key, state, 1, name=name)


def index(**names: str) -> NameIndex:
    """`campaign_x="Name"`: keys have a colon in place of the first underscore."""
    return NameIndex(source(key.replace("_", ":", 1), name) for key, name in names.items())


def candidates(text: str, names: NameIndex, *, changes: bool = False) -> list[str]:
    with pytest.raises(AmbiguousSource) as caught:
        resolve(text, names, changes=changes)
    return [one.source for one in caught.value.candidates]


SITE = index(
    campaign_5ce1da73="Spring sale",
    campaign_5ce1ffff="Autumn",
    campaign_welcome="Hello",
    canvas_welcome="Welcome series",
    canvas_77="Winter",
    campaign_hello="Something else",
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("campaign:5ce1da73", "campaign:5ce1da73"),
        ("canvas:welcome", "canvas:welcome"),
        ("5ce1da73", "campaign:5ce1da73"),
        ("77", "canvas:77"),
        ("Spring sale", "campaign:5ce1da73"),
        ("  spring   SALE ", "campaign:5ce1da73"),
        ("5ce1d", "campaign:5ce1da73"),
        ("5CE1DA73", "campaign:5ce1da73"),
        ("aut", "campaign:5ce1ffff"),
        ("campaign:5ce1f", "campaign:5ce1ffff"),
        ("campaign:spring sale", "campaign:5ce1da73"),
        ("canvas:welc", "canvas:welcome"),
        # an id before a name, a name before a beginning
        ("hello", "campaign:hello"),
        ("Welcome series", "canvas:welcome"),
    ],
)
def test_a_key_an_id_a_name_or_a_beginning_names_a_source(text: str, key: str) -> None:
    assert resolve(text, SITE).source == key


def test_what_may_be_several_names_none_and_lists_them() -> None:
    assert candidates("welcome", SITE) == ["campaign:welcome", "canvas:welcome"]
    assert candidates("5ce1", SITE) == ["campaign:5ce1da73", "campaign:5ce1ffff"]
    assert candidates("w", SITE) == ["campaign:welcome", "canvas:77", "canvas:welcome"]
    with pytest.raises(AmbiguousSource, match='campaign:5ce1ffff \\("Autumn", ACTIVE\\)'):
        resolve("5ce1", SITE)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("5ce1", "Write more of it, or the key of the one that is meant"),
        ("aut", "Write more of it, or the key of the one that is meant"),
        ("welcome", "Write the key of the one that is meant"),
    ],
)
def test_more_of_a_name_is_enough_where_a_beginning_is_not(text: str, remedy: str) -> None:
    with pytest.raises(AmbiguousSource) as caught:
        resolve(text, SITE, changes=True)
    assert caught.value.remedy == remedy


def test_a_command_that_changes_something_takes_no_short_beginning() -> None:
    assert resolve("aut", SITE).source == "campaign:5ce1ffff"
    assert candidates("aut", SITE, changes=True) == ["campaign:5ce1ffff"]
    assert resolve("autu", SITE, changes=True).source == "campaign:5ce1ffff"
    # what is whole may be short
    assert resolve("77", SITE, changes=True).source == "canvas:77"


def test_a_key_in_a_command_never_becomes_another() -> None:
    for text in ("campaign:5ce1f", "campaign:Spring sale", "canvas:welcom"):
        assert resolve(text, SITE)
        with pytest.raises(UnknownName):
            resolve(text, SITE, changes=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Spring", "spring"),
        ("STRASSE", "Straße"),
        ("Caf\u00e9", "Cafe\u0301"),
        ("Spring", "Spring\u200f"),
        ("Spring", "\u202eSpring"),
        ("Spring", "Spr\x00ing"),
        ("Spring", "Spr\u00ading"),
        ("A B", "A\u00a0B"),
        ("A B", "A  B"),
        ("\u2764", "\u2764\ufe0f"),
        ("Spring", "Spring\u3164"),
    ],
)
def test_names_that_people_may_take_for_one_are_ambiguous(first: str, second: str) -> None:
    names = index(campaign_1=first, canvas_2=second)
    for text in (first, second):
        for changes in (False, True):
            assert candidates(text, names, changes=changes) == ["campaign:1", "canvas:2"]


@pytest.mark.parametrize("name", ["Spring\u202e", "Spr\x1bing", "Spr\ning", "\u200eSpring"])
def test_a_name_with_characters_that_nobody_sees_names_nothing(name: str) -> None:
    names = index(campaign_1=name)
    assert form(name) in ("spring", "spr ing")
    for text in (name, form(name), form(name)[:5]):
        assert candidates(text, names) == ["campaign:1"]
    assert resolve("campaign:1", names).name == name
    assert candidates("Wint\u202eer", SITE) == ["canvas:77"]


def test_names_with_emoji_and_of_all_scripts_are_names() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    names = index(
        campaign_1=f"{family} 春のセール",
        canvas_2="\u0645\u0649\u200c\u062e\u0648\u0627\u0647\u0645",
    )
    assert resolve(f"{family} 春のセール", names).source == "campaign:1"
    assert resolve("\u0645\u0649\u200c\u062e\u0648\u0627\u0647\u0645", names).source == "canvas:2"
    assert resolve(f"{family} 春の", names, changes=True).source == "campaign:1"


def test_the_index_follows_names_that_change_and_sources_that_go() -> None:
    names = index(campaign_1="Spring", campaign_2="Autumn")
    names.put(source("campaign:1", "Summer"))
    with pytest.raises(UnknownName):
        resolve("Spring", names)
    assert resolve("summer", names).source == "campaign:1"
    names.put(source("campaign:2", "Spring"))
    assert resolve("spring", names).source == "campaign:2"
    names.drop("campaign:1")
    for text in ("Summer", "campaign:1", "1"):
        with pytest.raises(UnknownName):
            resolve(text, names)
    for n in range(5_000):
        names.put(source("campaign:2", f"Name {n}"))
    assert resolve("name 4999", names).source == "campaign:2"
    with pytest.raises(UnknownName):
        resolve("Name 3", index(campaign_2="Other"))
    with pytest.raises(UnknownName):
        resolve("name 17", names)


@pytest.mark.parametrize(
    "text",
    [
        *("Sprng sale", "pring sale", "Xpring sale", "Spring salt", "psring sale", "5ce1da37"),
        *("canvas:5ce1da73", "campain:5ce1da73", "campaign:Spring sal3"),
    ],
)
def test_a_misspelling_is_told_the_nearest(text: str) -> None:
    with pytest.raises(UnknownName) as caught:
        resolve(text, SITE)
    assert caught.value.nearest[0].source == "campaign:5ce1da73"
    assert 'Did you mean campaign:5ce1da73 ("Spring sale")' in caught.value.remedy


@pytest.mark.parametrize("text", ["", " ", "\u200f", ":", "campaign:", "x" * 5_000])
def test_what_says_nothing_names_nothing(text: str) -> None:
    with pytest.raises(UnknownName):
        resolve(text, SITE)


def test_a_very_long_name_is_found_by_its_beginning_only() -> None:
    names = index(campaign_1="x" * 100_000)
    assert resolve("x" * 200, names).source == "campaign:1"
    with pytest.raises(UnknownName):
        resolve("x" * 256, names)


TEXTS = st.text(st.sampled_from("aAbBé\u0301ß \u200f\u200d\x00:") | st.characters(), max_size=6)
KEYS = st.tuples(st.sampled_from(("campaign", "canvas")), TEXTS.filter(bool)).map(":".join)


@given(st.dictionaries(KEYS, TEXTS, max_size=8), TEXTS | KEYS, st.booleans())
def test_one_source_is_named_or_an_error_tells_which(
    given_names: dict[str, str], text: str, changes: bool
) -> None:
    """Against a scan of all: a name is never guessed among those of one form."""
    names = NameIndex(source(key, name) for key, name in given_names.items())
    alike = same(given_names.items(), text)
    ids = [key for key in given_names if key.partition(":")[2] == text]
    try:
        found = resolve(text, names, changes=changes).source
    except AmbiguousSource as error:
        listed = {one.source for one in error.candidates}
        assert text not in given_names
        assert listed
        assert listed <= given_names.keys()
        return
    except UnknownName:
        assert text not in given_names
        assert not ids or ":" in text
        assert not alike or ":" in text
        return
    if text in given_names:
        assert found == text
    elif ids:
        assert ids == [found]
    elif alike and ":" not in text:
        assert alike == [found]
    else:
        rest = text.partition(":")[2] if text.startswith(("campaign:", "canvas:")) else text
        starts = (form(found.partition(":")[2]), form(given_names[found]))
        assert any(start.startswith((form(text), form(rest))) for start in starts)
        assert not changes or len(form(text)) >= 4


def same(named: Iterable[tuple[str, str]], text: str) -> list[str]:
    return [key for key, name in named if form(text) and form(name) == form(text)]


@given(st.text())
def test_a_form_is_its_own_form(text: str) -> None:
    assert form(form(text)) == form(text)
    assert form(unicodedata.normalize("NFD", text)) == form(unicodedata.normalize("NFC", text))


def test_among_many_sources_a_misspelt_name_is_found() -> None:
    rng = random.Random(20260501)
    words = ("Spring", "Summer", "Autumn", "Winter", "Sale", "News", "Letter", "Welcome")
    records = [
        source(f"campaign:{rng.getrandbits(128):032x}", f"{' '.join(rng.sample(words, 3))} {n}")
        for n in range(5_000)
    ]
    names = NameIndex(records)
    for record in records[::100]:
        at = rng.randrange(len(record.name) - 4)
        with pytest.raises(UnknownName) as caught:
            resolve(f"{record.name[:at]}\u00e6{record.name[at + 1 :]}", names)
        assert record in caught.value.nearest


@pytest.mark.parametrize(
    "char", ["\ufe00", "\ufe0d", "\U000e0100", "\U000e01ef", "\u180b", "\u2065"]
)
def test_names_that_differ_in_a_selector_alone_are_one_name(char: str) -> None:
    plain, alike = (
        SourceState("campaign:a", State.ACTIVE, 1, name="Spring"),
        SourceState("campaign:b", State.ACTIVE, 1, name=f"Spr{char}ing"),
    )
    with pytest.raises(AmbiguousSource, match="looks like"):
        resolve("Spring", NameIndex([plain, alike]))
    with pytest.raises(AmbiguousSource, match="unseen"):
        resolve("Spring", NameIndex([alike]))


def test_a_japanese_name_with_a_form_of_an_ideograph_is_found_with_and_without_it() -> None:
    one = SourceState("campaign:a", State.ACTIVE, 1, name="\u845b\U000e0100\u57ce")
    for text in (one.name, "\u845b\u57ce"):
        assert resolve(text, NameIndex([one])) is one
