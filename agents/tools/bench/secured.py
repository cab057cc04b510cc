"""`bench ingest --secured`: ingest over TLS and SCRAM beside plain connections, on one broker."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.tools.bench.field import Ground
from agents.tools.bench.figures import BenchReport
from agents.tools.bench.ingest import IngestOptions
from agents.tools.bench.pair import Side, pair
from streams.devbroker.secured import ADMIN, SecuredBroker

__all__ = ["secured_grounds", "secured_ingest"]

_PLAIN, _SECURED = "worker", "worker_secured"
_LEAST = 0.85
"""The share of plain ingest that must be left."""
_WARM_UPS = 2
"""A broker's Java has compiled its encryption only after some hundred megabytes."""


@contextmanager
def secured_grounds(say: Callable[[str], None]) -> Iterator[dict[str, Ground]]:
    """A new local broker, by its plain listener and by that with TLS and SCRAM."""
    folder = Path(tempfile.mkdtemp(prefix="emberline-broker-"))
    try:
        with SecuredBroker(folder, {}, say=say) as broker:
            given = broker.as_user(ADMIN)
            address = str(given.pop("bootstrap_servers"))
            plain = broker.bootstrap_servers
            yield {_PLAIN: Ground(plain), _SECURED: Ground(address, given, watch=plain)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def secured_ingest(
    grounds: dict[str, Ground], options: IngestOptions, say: Callable[[str], None]
) -> BenchReport:
    """Alternate both; the ratio of medians must be at least 0.85. Two runs of each come before,
    because a broker that has just started spends more on compiling than on encrypting.
    """
    sides = Side(_PLAIN, grounds[_PLAIN]), Side(_SECURED, grounds[_SECURED])
    report = await pair("secured", _LEAST, sides, options, say, _WARM_UPS)
    report.notes += [
        f"{_SECURED}: TLS 1.3 and SCRAM-SHA-512; {_PLAIN}: neither; the same broker; "
        "who watches the worker's changelog has plain connections on both sides",
        f"{_WARM_UPS} runs of each came before: Java compiles encryption only once it is in use",
    ]
    return report
