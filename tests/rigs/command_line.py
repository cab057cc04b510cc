"""The command line, run in a thread of this process."""

import asyncio

from click.testing import CliRunner, Result

from agents.cli import main
from streams.settings import Settings

DEADLINE_S = 60.0


async def emberline(settings: Settings, *args: str, text: str | None = None) -> Result:
    """Run a command as a person would."""
    flags = (
        "--bootstrap-servers", settings.bootstrap_servers, "--prefix", settings.prefix,
        "--http-port", "1", "--data-dir", str(settings.data_dir),
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.to_thread(CliRunner().invoke, main, [*args, *flags], text)
