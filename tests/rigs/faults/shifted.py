"""A worker whose clock is the machine's plus as many seconds as a file says.

Python reads `sitecustomize` as it starts (`variables`). The machine's own clock cannot be
moved for one process without a library of its own.
"""

from pathlib import Path

__all__ = ["variables"]

_SITE = """
import time
_real, _real_ns = time.time, time.time_ns
def _shift():
    try:
        with open({file!r}) as opened:
            return float(opened.read() or 0)
    except (OSError, ValueError):
        return 0.0
time.time = lambda: _real() + _shift()
time.time_ns = lambda: _real_ns() + int(_shift() * 1_000_000_000)
"""


def variables(folder: Path, offset: Path, python_path: str) -> dict[str, str]:
    """The environment of such a worker: Python itself reads `sitecustomize` as it starts."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_SITE.format(file=str(offset)))
    return {"PYTHONPATH": f"{folder}:{python_path}"}
