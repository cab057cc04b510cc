"""`python -m agents.cli.reference [FOLDER]`: write the pages of the reference, by default to
`docs/reference`. It stands after all rooms because it describes the calls and the commands too.
"""

import sys
from pathlib import Path

from agents.cli import SECTIONS, main
from agents.cli.cli_reference import page as cli_page
from agents.reference.page import markdown
from agents.reference.pages import WRITTEN, page
from agents.terminal.say import say
from agents.web.http_reference import page as http_page
from agents.web.server import ROUTES

__all__ = ["files", "write"]

DEFAULT = Path("docs/reference")


def files() -> dict[str, str]:
    """Name of each file -> what it contains."""
    pages = [*(page(name) for name in WRITTEN), http_page(ROUTES), cli_page(main, SECTIONS)]
    return {f"{each.name}.md": markdown(each) for each in pages}


def write(folder: Path = DEFAULT) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text)
        say(f"wrote {folder / name}")


if __name__ == "__main__":
    write(*map(Path, sys.argv[1:2]))
