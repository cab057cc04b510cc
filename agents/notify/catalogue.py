"""The texts of messages in every language, from `catalogue.json`."""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

__all__ = ["DEFAULT", "Texts", "catalogue", "texts"]

DEFAULT = "en"
_PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


class Texts:
    """The texts of one language; a text that it lacks is taken from English."""

    def __init__(self, language: str, found: Mapping[str, str], others: Mapping[str, str]) -> None:
        self.language = language
        self._found = found
        self._others = others

    def __call__(self, key: str, **values: object) -> str:
        """The text with its placeholders filled. Raises KeyError for an unknown key."""
        text = self._found.get(key) or self._others[key]
        # in one pass: a value may have braces of its own
        return _PLACEHOLDER.sub(lambda found: str(values[found[1]]), text)

    def get(self, key: str, default: str = "") -> str:
        """The text of a key that may not exist, such as a code of a later version."""
        return self._found.get(key) or self._others.get(key, default)


@cache
def catalogue() -> Mapping[str, Mapping[str, str]]:
    """Text by language and key."""
    file = resources.files("agents.notify") / "catalogue.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def texts(language: str) -> Texts:
    """The texts of a language; English for an unknown one."""
    every = catalogue()
    return Texts(
        language if language in every else DEFAULT,
        every.get(language, every[DEFAULT]),
        every[DEFAULT],
    )
