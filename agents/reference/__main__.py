"""`python -m agents.reference [FOLDER]`: write the pages of the reference, by default to
`docs/reference`.
"""

import sys
from pathlib import Path

from agents.reference.page import markdown
from agents.reference.pages import WRITTEN, page
from agents.terminal.say import say

DEFAULT = Path("docs/reference")


def files() -> dict[str, str]:
    """Name of each file -> what it contains."""
    return {f"{name}.md": markdown(page(name)) for name in WRITTEN}


def main(arguments: list[str]) -> int:
    """Write all files; returns the exit code."""
    folder = Path(arguments[0]) if arguments else DEFAULT
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text)
        say(f"wrote {folder / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
