"""CSV by a mapping file: every row becomes a record or is named by its line."""

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import cramjam
import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.tools.feed.csv_files import CsvFiles
from agents.tools.feed.mapping_file import read_mapping
from agents.tools.feed.opening import opened
from agents.tools.import_files import Batch
from agents.tools.import_journal import ImportPosition
from agents.tools.records import plain_ids
from schemas.errors import Fatal, UsageError
from schemas.records import codec
from streams.clock import SystemClock
from tests.rigs.hostile.fuzz.target import bounded

MAPPING = """
record = "open"
delimiter = ";"

[fields]
id = { hash = ["uid", "at", "what"] }
user_id = "uid"
external_user_id = { column = "customer", absent = ["", "NULL"] }
time = { column = "at", format = "%d.%m.%Y %H:%M:%S", zone = "Europe/Berlin" }
campaign_id = "what"
channel = { column = "via", values = { "E-Mail" = "EMAIL", "*" = "OTHER" } }
machine_open = "machine"
"""
HEAD = "uid;customer;at;what;via;machine\n"
ROW = "u{0};NULL;31.01.2026 12:00:0{0};spring;E-Mail;no\n"
BEGINNING = ImportPosition()


def reader(folder: Path, text: str = MAPPING) -> CsvFiles:
    (folder / "mapping.toml").write_text(text)
    return CsvFiles(read_mapping(folder / "mapping.toml"), plain_ids, 512, SystemClock())


def read(files: CsvFiles, file: Path, start: ImportPosition = BEGINNING) -> list[Batch]:
    with opened(file) as content:
        return list(files.batches(content, start))


def values(batches: list[Batch]) -> list[Any]:
    return [codec.decode(v or b"", "open") for b in batches for c in b.chunks for v in c.values]


def test_a_row_becomes_a_record(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("\ufeff" + HEAD + ROW.format(1) + "u2;c2;31.07.2026 12:00:00;spring;Fax;YES\n")
    first, second = values(read(reader(tmp_path), file))
    assert (first["user_id"], first["external_user_id"], first["channel"]) == ("u1", None, "EMAIL")
    assert first["time"] == 1_769_857_201_000  # 11:00 UTC in winter
    assert (second["external_user_id"], second["channel"]) == ("c2", "OTHER")
    assert second["time"] == 1_785_492_000_000  # 10:00 UTC in summer
    assert (first["machine_open"], second["machine_open"]) == (False, True)
    assert first["id"] != second["id"]


def test_equal_rows_have_equal_ids_and_a_shift_between_columns_does_not_hide(
    tmp_path: Path,
) -> None:
    file = tmp_path / "a.csv"
    at = "31.01.2026 12:00:00"
    rows = [("ab", "c"), ("a", "bc"), ("ab", "c")]
    file.write_text(HEAD + "".join(f"{u};;{at};{c};Fax;\n" for u, c in rows))
    one, two, three = (event["id"] for event in values(read(reader(tmp_path), file)))
    assert one == three != two


def test_a_bad_row_is_named_by_its_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    lines = [
        HEAD,
        ROW.format(1),
        'u2;"two\nlines";31.01.2026 12:00:00;spring;E-Mail;no\n',
        "u3;;yesterday;spring;E-Mail;no\n",
        "u4;;31.01.2026 12:00:00\n",
        "\n",
        "u5;;31.01.2026 12:00:00;spring;E-Mail;perhaps\n",
        ROW.format(6),
        ";;31.01.2026 12:00:00;spring;E-Mail;no\n",
    ]
    file.write_bytes("".join(lines).encode() + b"u8;\xff;31.01.2026 12:00:00;spring;Fax;no\n")
    (batch,) = read(reader(tmp_path), file)
    assert [bad.where.rpartition(":")[2] for bad in batch.bad] == ["5", "6", "8", "10", "11"]
    whys = [bad.why for bad in batch.bad]
    assert whys[0] == "column at: 'yesterday' is no time as %d.%m.%Y %H:%M:%S"
    assert whys[1] == "3 columns, the first line has 6"
    assert whys[2] == "column machine: 'perhaps' is no true or false"
    assert whys[3] == "missing_field: user_id has no value"
    assert "is not utf-8" in whys[4]
    assert [one["user_id"] for one in values([batch])] == ["u1", "u2", "u6"]


@pytest.mark.parametrize("packed", ["plain", "gzip", "zstd"])
def test_a_file_continues_behind_any_batch(
    tmp_path: Path, packed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.tools.feed.csv_files.BATCH_ROWS", 3)
    text = (HEAD + "".join(ROW.format(n) for n in range(10)) + "bad\n" + ROW.format(9)).encode()
    file = tmp_path / "a.csv"
    pack: dict[str, Any] = {"plain": bytes, "gzip": gzip.compress, "zstd": cramjam.zstd.compress}
    file.write_bytes(bytes(pack[packed](text)))
    files = reader(tmp_path)
    every = read(files, file)
    assert len(every) == 4
    assert [bad.where for batch in every for bad in batch.bad] == [f"{file}:12"]
    for at, batch in enumerate(every):
        again = read(files, file, batch.reached)
        assert [b.chunks for b in again] == [b.chunks for b in every[at + 1 :]]
        assert [b.bad for b in again] == [b.bad for b in every[at + 1 :]]


def test_a_compressed_file_that_is_cut_is_named(tmp_path: Path) -> None:
    data = gzip.compress((HEAD + ROW.format(1) * 1_000).encode())
    (tmp_path / "a.csv").write_bytes(data[:-20])
    with pytest.raises(Fatal, match="cannot be decompressed"):
        read(reader(tmp_path), tmp_path / "a.csv")
    (tmp_path / "b.csv").write_bytes(bytes(cramjam.zstd.compress(b"x" * 9_000))[:-4])
    with pytest.raises(Fatal, match="cannot be decompressed"):
        read(reader(tmp_path), tmp_path / "b.csv")


def test_a_zstd_file_takes_no_memory_for_what_has_been_read(tmp_path: Path) -> None:
    """256 MB of content in 8 kB: as a stream, and without a file beside it."""
    piece = bytes(cramjam.zstd.compress(b"\0" * (1 << 20)))
    (tmp_path / "a.csv").write_bytes(piece * 256)
    with bounded(64), opened(tmp_path / "a.csv") as content:
        size = 0
        while data := content.content.read(1 << 20):
            size += len(data)
    assert size == 256 << 20
    assert os.listdir(tmp_path) == ["a.csv"]


@pytest.mark.parametrize("tail", [b"garbage", b"\0" * 20])
def test_what_follows_a_zstd_file_and_is_none_is_named(tmp_path: Path, tail: bytes) -> None:
    data = bytes(cramjam.zstd.compress((HEAD + ROW.format(1) * 9_000).encode()))
    (tmp_path / "a.csv").write_bytes(data + tail)
    with pytest.raises(Fatal, match="cannot be decompressed"):
        read(reader(tmp_path), tmp_path / "a.csv")


def test_a_zstd_file_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    # a frame whose window has 2 GB: magic, descriptor, window, an empty last block
    (tmp_path / "a.csv").write_bytes(b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00")
    with pytest.raises(Fatal, match="cannot be decompressed"):
        read(reader(tmp_path), tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"open"', '"opne"', "Did you mean open"),
        ("user_id =", "userid =", "Did you mean user_id"),
        ("absent =", "absnt =", "Did you mean absent"),
        ("zone =", "zoen =", "Did you mean zone"),
        ('"Europe/Berlin"', '"Europe/Berln"', "no zone 'Europe/Berln'"),
        ('"EMAIL"', '"MAIL"', "Did you mean EMAIL"),
        ('format = "%d.%m.%Y %H:%M:%S", ', "", "how is the time written"),
        ("delimiter", "delimeter", "Did you mean delimiter"),
        ('user_id = "uid"', "", "needs the field user_id"),
        ("[fields]", "[fields", "mapping.toml"),
    ],
)
def test_a_misspelt_mapping_is_refused(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in MAPPING
    with pytest.raises(UsageError, match=r"mapping\.toml") as told:
        reader(tmp_path, MAPPING.replace(before, after, 1))
    assert said in f"{told.value} {told.value.remedy}"


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("uid;customer;at;waht;via;machine\n")
    with pytest.raises(UsageError, match="has no column 'what'") as told:
        read(reader(tmp_path), tmp_path / "a.csv")
    assert "waht" in str(told.value.remedy)


@pytest.mark.parametrize("form", ["csv", "records"])
def test_standard_input(tmp_path: Path, form: str) -> None:
    flags = ["--bootstrap-servers", "127.0.0.1:1", "--data-dir", str(tmp_path)]
    time = 1_769_857_201_000
    rows = {
        "csv": f"id,user_id,time,channel\n1,u,{time},sms\n2,u,{time},fax\n",
        "records": "".join(
            json.dumps({"id": str(n), "user_id": "u", "time": t}) + "\n"
            for n, t in ((1, time), (2, 7))
        ),
    }
    command = ["import", "--from", form, "--event", "send", "--dry-run", "-", "--json"]
    data = io.BytesIO(gzip.compress(rows[form].encode()))
    ran = CliRunner().invoke(main, [*flags, *command], input=data)
    told = json.loads(ran.stdout.splitlines()[-1])
    assert (told["records"], told["bad"]) == (1, 1), ran.output
    assert "-:" in ran.output
