"""The site builds without a dead link, has every page, and loads nothing from another host."""

import re
import shutil
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.rigs.documentation import ROOT_PAGES, SiteProblem, build, pages

ROOT = Path(__file__).parents[1]


class _Loaded(HTMLParser):
    """The addresses of what a browser loads by itself for a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        loads = tag in ("script", "img", "iframe") or (
            tag == "link" and given.get("rel") in ("stylesheet", "preload", "icon")
        )
        if loads:
            self.found += [address for name in ("src", "href") if (address := given.get(name))]


def _listed(entries: list[dict[str, object]]) -> list[str]:
    """The files of a navigation."""
    found: list[str] = []
    for entry in entries:
        for value in entry.values():
            found += _listed(value) if isinstance(value, list) else [str(value)]
    return found


def test_the_navigation_has_every_page_once() -> None:
    listed = _listed(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])
    assert sorted(set(listed)) == sorted(pages()), "zensical.toml lists the pages"
    assert len(listed) == len(set(listed))


def test_the_site_has_every_page_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    site = build(tmp_path)
    for name in pages():
        page = site / Path(name).with_suffix(".html")
        loaded = _Loaded()
        loaded.feed(page.read_text())
        assert loaded.found
        assert [one for one in loaded.found if re.match(r"(https?:)?//", one)] == [], name


@pytest.mark.parametrize("link", ["[x](missing.md)", "[x](concepts.md#missing)"])
def test_a_dead_link_fails_the_build(tmp_path: Path, link: str) -> None:
    root = tmp_path / "root"
    (root / "docs").mkdir(parents=True)
    for name in (*ROOT_PAGES, "docs/index.md"):
        (root / name).write_text("# A page\n")
    (root / "docs/concepts.md").write_text(f"# Concepts\n\n{link}\n")
    shutil.copy(ROOT / "zensical.toml", root)
    settings = (root / "zensical.toml").read_text()
    short = re.sub(r"^nav = \[.*?^\]$", "", settings, flags=re.DOTALL | re.MULTILINE)
    (root / "zensical.toml").write_text(short)
    with pytest.raises(SiteProblem, match="does not exist"):
        build(tmp_path / "built", root)


def test_links_fit_the_place_of_a_page_on_the_site(tmp_path: Path) -> None:
    for name in ROOT_PAGES:
        (tmp_path / name).write_text(
            "[a](docs/concepts.md#words) [b](SECURITY.md) [c](agents/cli/audit.py) "
            "![d](docs/images/d.png) [e](docs/reference) [f](https://example.com/docs/x.md)"
        )
    (tmp_path / "docs/reference").mkdir(parents=True)
    (tmp_path / "docs/concepts.md").write_text(
        "[a](../README.md#figures) [b](reference/settings.md)"
    )
    (tmp_path / "docs/reference/settings.md").write_text(
        "[a](../concepts.md) [b](../../SECURITY.md)"
    )
    found = pages(tmp_path)
    assert found["overview.md"] == (
        "[a](concepts.md#words) [b](security.md) c (`agents/cli/audit.py`) ![d](images/d.png) "
        "[e](reference/settings.md) [f](https://example.com/docs/x.md)"
    )
    assert found["concepts.md"] == "[a](overview.md#figures) [b](reference/settings.md)"
    assert found["reference/settings.md"] == "[a](../concepts.md) [b](../security.md)"
