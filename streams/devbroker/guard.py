"""Runs a command that must end when the process that requested it ends, even by SIGKILL.

    python broker_guard.py COMMAND...

The requesting process holds the other end of stdin. When stdin closes, for any reason, the command
gets SIGTERM first and is killed later. stdout has one line, the process id of the command. This
module imports nothing of emberline, because it is started by its path and must start quickly.
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
    except subprocess.TimeoutExpired:  # it has not ended when asked to: nobody else can end it now
        child.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
