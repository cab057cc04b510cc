"""Runs a command that must not outlive the process that asked for it, SIGKILL included.

    python broker_guard.py COMMAND...

The asking process holds the other end of stdin. When that closes, for whatever reason, the
command is ended, first politely. stdout carries one line, the command's process id. Stands
alone (no imports of ours), as it is started by path, and quickly.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

_POLITE_S = 15.0
_PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> int:
    """Run the command to its end or to stdin's; return its exit code."""
    # Ctrl-C is for the process that asked: it ends the command in its own order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    guard = os.getpid()
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=lambda: _die_with(guard)
    )
    print(child.pid, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=_watch, args=(child,), daemon=True).start()
    return child.wait()


def _die_with(guard: int) -> None:
    """In the child before it runs: let the kernel end it should the guard be killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:  # it was killed before that call
            os._exit(1)


def _watch(child: "subprocess.Popen[bytes]") -> None:
    while os.read(0, 1024):
        pass
    child.terminate()
    try:
        child.wait(_POLITE_S)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
