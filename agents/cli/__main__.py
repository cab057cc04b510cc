"""`python -m agents.cli` is `emberline`."""

from agents.cli import main

main(prog_name="emberline")
