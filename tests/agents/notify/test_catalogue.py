"""The catalogue of messages: no language lacks a text, and placeholders agree."""

import re

import pytest

from agents.notify.catalogue import catalogue, texts
from schemas.records.lifecycle import CommandRefusal, State
from streams.settings import LANGUAGES

CATALOGUE = catalogue()
ENGLISH = CATALOGUE["en"]


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{[^}]*\}", text))


def test_the_languages_are_those_of_the_settings() -> None:
    assert tuple(CATALOGUE) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_language_lacks_a_text_and_placeholders_agree(language: str) -> None:
    found = CATALOGUE[language]
    assert list(found) == list(ENGLISH)
    for key, text in found.items():
        assert text.strip(), key
        assert placeholders(text) == placeholders(ENGLISH[key]), key


def test_codes_and_states_have_texts() -> None:
    assert {f"code.{code}" for code in CommandRefusal} | {"code.cancelled"} <= ENGLISH.keys()
    assert {f"state.{state}" for state in State} <= ENGLISH.keys()


def test_a_value_with_braces_is_no_placeholder() -> None:
    text = texts("en")("request.subject.finished", type="{what}", what="{type}")
    assert text == "{what} finished: {type}"


def test_an_unknown_language_is_english() -> None:
    assert texts("xx").language == "en"
    assert texts("xx")("link") == "Details"
