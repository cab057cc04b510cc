"""Caught panics of native libraries do not appear in a worker's output."""

import subprocess
import sys

import pytest

from agents.worker.native_output import without_panics

PANIC = b"""
thread '<unnamed>' (81) panicked at crates/polars-arrow/src/io/avro/read/deserialize.rs:276:61:
range end index 1000 out of range for slice of length 9
"""
NOTE = b"note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n"
TRACE = b"""stack backtrace:
   0: __rustc::rust_begin_unwind
   1: core::panicking::panic_fmt
             at /rustc/lib.rs:14:5
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.
"""
PROGRAM = """
import os, sys, threading
from agents.worker.native_output import divert
import io, polars as pl
divert()
from schemas.records.varint import varint
from schemas.decode.plan import SYNC, container_header
head = container_header([{"name": "a", "type": "string"}])
body = varint(1000) + b"a"
data = b"".join((head, varint(1), varint(len(body)), body, SYNC))
for _ in range(50):
    try:
        pl.read_avro(io.BytesIO(data))
    except pl.exceptions.PanicException:
        pass
os.write(2, b"from a library\\n")
print("from python", file=sys.stderr)
(pump,) = (one for one in threading.enumerate() if one.name == "native")
os.close(2)
pump.join(30)
"""


@pytest.mark.parametrize("rest", [b"", NOTE, TRACE])
def test_of_a_panic_nothing_is_left(rest: bytes) -> None:
    printed = b"before\n" + PANIC + rest + PANIC + rest + b"behind\n"
    assert list(without_panics(printed.splitlines(keepends=True))) == [b"before\n", b"behind\n"]


@pytest.mark.parametrize("trace", ["0", "1"])
def test_a_process_that_panics_prints_only_what_is_not_expected(trace: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": ".", "RUST_BACKTRACE": trace, "PATH": ""},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert sorted(done.stderr.splitlines()) == [b"from a library", b"from python"]
