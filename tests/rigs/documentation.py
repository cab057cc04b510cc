"""`make site`: puts the pages of the documentation together and builds the site from them.

The pages of docs/ keep their names. README, CHANGELOG, CONTRIBUTING and SECURITY lie in the root,
where people look for them first, so they are copied beside the others and every link is made to fit
its new place. A link to a file that is no page, such as code, becomes the path of that file.
"""

import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

__all__ = ["ROOT_PAGES", "SiteProblem", "build", "pages"]

ROOT = Path(__file__).parents[2]
ROOT_PAGES: Mapping[str, str] = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the root -> their names on the site."""
_FOLDERS: Mapping[str, str] = {"docs/reference": "docs/reference/settings.md"}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
_BUILD_S = 120


class SiteProblem(Exception):
    """The site cannot be built; the message is what the generator said."""


def pages(root: Path = ROOT) -> dict[str, str]:
    """Name of each page on the site -> its Markdown, with links that fit."""
    files = [*(root / name for name in ROOT_PAGES), *sorted((root / "docs").rglob("*.md"))]
    found = {}
    for file in files:
        path = file.relative_to(root).as_posix()
        found[_place(path)] = _linked(file.read_text(), path, root)
    return found


def build(target: Path, root: Path = ROOT) -> Path:
    """Build the site below `target` and return its folder. Raises SiteProblem."""
    target = target.resolve()
    written = target / "site-pages"
    for folder in (written, target / "site"):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(root / "docs", written, ignore=shutil.ignore_patterns("*.md"))
    for name, text in pages(root).items():
        (written / name).parent.mkdir(parents=True, exist_ok=True)
        (written / name).write_text(text)
    config = target / "zensical.toml"
    config.write_text((root / "zensical.toml").read_text())
    program = Path(sys.executable).parent / "zensical"
    done = subprocess.run(
        [program, "build", "--strict", "--clean", "--config-file", config],
        cwd=target,
        capture_output=True,
        text=True,
        timeout=_BUILD_S,
        check=False,
    )
    if done.returncode != 0:
        raise SiteProblem(_without_colours(done.stdout + done.stderr))
    return target / "site"


def _place(path: str) -> str:
    """The name on the site of a page, by its path from the root."""
    return ROOT_PAGES.get(path) or path.removeprefix("docs/")


def _linked(text: str, path: str, root: Path) -> str:
    """The text of a page whose links fit the place that the page has on the site."""
    here = posixpath.dirname(_place(path))

    def fit(match: re.Match[str]) -> str:
        image, words, link, anchor = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        target = _FOLDERS.get(target, target)
        if target in ROOT_PAGES or (target.startswith("docs/") and not (root / target).is_dir()):
            fitting = posixpath.relpath(_place(target), here or ".")
        else:
            return f"{words} (`{target}`)" if words.strip("`") != target else f"`{target}`"
        return f"{image}[{words}]({fitting}{anchor or ''})"

    return _LINK.sub(fit, text)


def _without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


if __name__ == "__main__":
    try:
        print(build(Path("build")) / "index.html")
    except SiteProblem as problem:
        sys.exit(str(problem))
