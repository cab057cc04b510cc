"""Texts that become a segment of an address: `.` and `..` are refused before anything is sent."""

import json
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from agents.cli import main
from agents.cli.calling import segment
from agents.coordinator.rules.bounds import (
    command_fault,
    is_catalog_key,
    is_request_id,
    request_id_fault,
)
from schemas.errors import UsageError
from schemas.records.lifecycle import Command


@pytest.mark.parametrize("text", [".", ".."])
@pytest.mark.parametrize(
    "command",
    [
        ("hold", "campaign:a", "--request-id"),
        ("pause", "--request-id"),
        ("profile",),
        ("explain",),
        ("export",),
    ],
)
def test_a_text_that_is_a_step_of_a_path_is_refused(command: tuple[str, ...], text: str) -> None:
    found = CliRunner().invoke(main, [*command, text, "--http-port", "1"])
    assert found.exit_code == 2, found.output
    assert "cannot be part of an address" in found.output
    assert "Traceback" not in found.output


@pytest.mark.parametrize("text", ["", "a\nb", "x" * 251, "campaign:a", "x.control-0-57", "\udcff"])
def test_a_request_id_that_the_coordinator_would_not_answer_under_is_refused(text: str) -> None:
    found = CliRunner().invoke(main, ["hold", "campaign:a", "--json", "--request-id", text])
    assert found.exit_code == 2, found.output
    error = json.loads(found.output.splitlines()[0])["error"]
    assert error["message"].startswith("--request-id")


@pytest.mark.parametrize("text", [".", ".."])
def test_a_command_of_another_program_with_such_an_id_is_refused_under_its_place(text: str) -> None:
    assert not is_request_id(text)
    assert text in str(command_fault(Command("hold", ("campaign:a",), request_id=text)))


def test_keys_with_dots_have_their_kind_before_them_and_stay() -> None:
    for key in ("campaign:..", "canvas:.", "segment:.."):
        assert is_catalog_key(key)
        assert segment(key, "") == key
    for text in ("...", ".a", "a..", "a/..", "%2e%2e"):
        assert segment(text, "") == quote(text, safe=":")
        assert request_id_fault(text) is None
    with pytest.raises(UsageError, match="part of an address"):
        segment("", "")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--tag", "x" * 10_000, "tag is longer than 1000 characters"),
        ("--tag", "", "--tag is empty"),
        ("--tag", "a\x1bb", "control characters"),
        ("--reason", "x\udcff", "reason is longer than 10000 characters or is no text"),
    ],
)
def test_what_the_coordinator_would_refuse_is_refused_before_anything_is_sent(
    option: str, value: str, said: str
) -> None:
    args = ["restore", "campaign:a", option, value, "--bootstrap-servers", "127.0.0.1:1"]
    found = CliRunner().invoke(main, args)
    assert found.exit_code == 2, found.output[:300]
    assert said in found.output
    assert len(found.output) < 300
