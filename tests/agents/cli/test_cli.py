"""The command line as a whole: commands found, settings from flags, errors in one line."""

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import aiohttp
import click
import pytest
from click.testing import CliRunner, Result
from click.utils import make_default_short_help

from agents.cli import COMMANDS, SECTIONS, main
from agents.cli.group import Group
from agents.cli.options import RESERVED, global_options, hoisted, settings_of
from schemas.errors import Fatal, UsageError


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def failing(error: Exception) -> Group:
    group = global_options(Group("emberline", {}))

    @group.command("fail")
    def fail() -> None:
        raise error

    group.get_command = lambda ctx, name: fail  # type: ignore[method-assign]
    return group


def one_line(result: Result, code: int) -> str:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("emberline: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_commands_are_listed_when_their_module_is_there() -> None:
    listed = main.list_commands(click.Context(main))
    assert {"broker", "topics", "settings"} <= set(listed) <= set(COMMANDS)
    group = Group("emberline", {"absent": ("agents.cli.absent:command", "")})
    assert group.list_commands(click.Context(group)) == []


def commands() -> Iterator[tuple[str, click.Command]]:
    ctx = click.Context(main)
    for name in main.list_commands(ctx):
        command = main.get_command(ctx, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", leaf) for sub, leaf in command.commands.items())


def test_every_command_has_help_and_json_and_leaves_settings_flags_alone(
    runner: CliRunner,
) -> None:
    for path, command in commands():
        result = runner.invoke(main, [*path.split(), "--help"])
        assert result.exit_code == 0, path
        options = {option for part in command.params for option in part.opts}
        assert not options & set(RESERVED), path
        if not isinstance(command, click.Group):
            assert "--json" in options, path
            assert command.help, path


def test_the_list_of_commands_says_what_their_help_says() -> None:
    for name, (_, about) in COMMANDS.items():
        command = main.get_command(click.Context(main), name)
        assert command is not None
        assert make_default_short_help(command.help or "", 1_000) == about


HEAVY = (
    "polars",
    "faust",
    "rocksdict",
    "aiohttp.web_app",
    "aiohttp.client",
    "aiokafka",
    "fastavro",
    "agents.filters.nodes",
    "rich",
)
"""Modules that cost a start a tenth of a second, more or less."""


@pytest.mark.parametrize(
    ("args", "needed"),
    [
        ("--help", ""),
        ("settings", ""),
        ("keys --help", ""),
        ("broker --help", ""),
        ("audience --help", "aiohttp.client"),
        ("profile --help", "aiohttp.client"),
        ("export --help", "aiohttp.client"),
        ("audit --help", "aiokafka fastavro"),
        ("rejected --help", "aiokafka fastavro"),
        ("restores --help", "aiokafka fastavro"),
        ("restore --help", "aiokafka fastavro"),
        ("confirm --help", "aiokafka fastavro"),
        ("topics --help", "aiokafka fastavro"),
        ("status --help", ""),
        ("explain --help", "aiohttp.client"),
    ],
)
def test_a_command_loads_no_heavy_module_that_it_does_not_need(args: str, needed: str) -> None:
    program = f"""
import sys
from agents.cli import main
try:
    main({args.split()!r})
finally:
    print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    child = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert child.stdout
    loaded = set(ast.literal_eval(child.stderr.splitlines()[-1]))
    assert loaded <= set(needed.split())


def test_modules_are_imported_only_when_used() -> None:
    for name, (target, _) in COMMANDS.items():
        module, _, attribute = target.partition(":")
        assert attribute in ("command", name)
        assert module.startswith("agents.cli.")
        if importlib.util.find_spec(module):
            assert isinstance(getattr(importlib.import_module(module), attribute), click.Command)


def test_settings_flags_count_wherever_they_stand(runner: CliRunner) -> None:
    for args in (
        ["--prefix", "x.", "--set", "fan_in=9", "settings", "--json"],
        ["settings", "--json", "--prefix=x.", "--set", "fan-in=9"],
    ):
        facts = json.loads(runner.invoke(main, args, env={"EMBERLINE_PARTITIONS": "3"}).stdout)
        assert facts["prefix"]["value"] == "x."
        assert facts["prefix"]["origin"] == "--prefix"
        assert facts["fan_in"]["value"] == "9"
        assert facts["partitions"]["origin"] == "EMBERLINE_PARTITIONS"
        assert facts["http_port"] == {
            "value": "6066",
            "origin": "default",
            "doc": "port of the worker (0: any free)",
        }


def test_hoisting() -> None:
    assert hoisted(["a", "--prefix", "x", "-n", "1", "--set=b=c"]) == [
        *("--prefix", "x", "--set=b=c", "a", "-n", "1")
    ]
    assert hoisted(["a", "--", "--prefix", "x"]) == ["a", "--", "--prefix", "x"]
    assert hoisted(["a", "--prefix"]) == ["--prefix", "a"]


def test_settings_for_people(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "emberline.toml").write_text("retention = 'P1M'")
    result = runner.invoke(main, ["settings"])
    line = next(line for line in result.stdout.splitlines() if line.startswith("retention "))
    assert line.split() == ["retention", "P1M", "emberline.toml"]


def test_another_settings_file(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("partitions = 5")
    result = runner.invoke(main, ["settings", "--json", "--config", "other.toml"])
    assert json.loads(result.stdout)["partitions"]["value"] == "5"


def test_help_works_with_a_broken_settings_file(runner: CliRunner, tmp_path: Path) -> None:
    (tmp_path / "emberline.toml").write_text("nonsense")
    assert runner.invoke(main, ["settings", "--help"]).exit_code == 0
    assert "emberline.toml" in one_line(runner.invoke(main, ["settings"]), 2)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["setings"], "Did you mean settings"),
        (["xyzzy"], "`emberline --help` lists"),
        (["settings", "--nope"], "`emberline settings --help`"),
        (["settings", "--set", "partitions"], "--set NAME=VALUE"),
        (["settings", "--set", "colour=red"], "no setting 'colour'"),
        (["settings", "--retention", "3 months"], "ISO 8601"),
        (["topics", "tail"], "TOPIC"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(runner: CliRunner, args: list[str], says: str) -> None:
    assert says in one_line(runner.invoke(main, args), 2)


def test_the_version_is_that_of_the_distribution() -> None:
    (option,) = (part for part in main.params if "--version" in part.opts)
    assert isinstance(option, click.Option)
    assert option.is_eager


@pytest.mark.parametrize("words", [[], ["topics"], ["keys"]])
def test_no_command_shows_the_help_and_is_no_error(runner: CliRunner, words: list[str]) -> None:
    result = runner.invoke(main, words)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith(" ".join(["Usage: emberline", *words]))


def test_the_help_has_sections_and_every_command_is_in_one(runner: CliRunner) -> None:
    listed = [name for names in SECTIONS.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(COMMANDS) <= set(listed)
    lines = runner.invoke(main, ["--help"], prog_name="emberline").stdout.splitlines()
    heads = [line.rstrip(":") for line in lines if line.endswith(":") and line[0] != " "]
    assert heads == ["Options", *SECTIONS]
    group = Group("g", {"a": ("agents.cli:main", "A."), "b": ("agents.cli:main", "B.")}, {"X": "b"})
    found = group.get_help(click.Context(group))
    assert found.index("X:") < found.index("  b  ") < found.index("Commands:")


@pytest.mark.parametrize(
    ("error", "message", "remedy", "code"),
    [
        (Fatal("a is\nwrong.", remedy="Mend it."), "a is wrong.", "Mend it.", 1),
        (UsageError("b is wrong"), "b is wrong", None, 2),
        (ValueError("evil \x1b[2J"), "This is a defect: ValueError: evil \x1b[2J", "Run it", 1),
    ],
)
def test_with_json_an_error_is_the_last_object(
    runner: CliRunner, error: Exception, message: str, remedy: str | None, code: int
) -> None:
    group = failing(error)
    fail = group.get_command(click.Context(group), "fail")
    assert fail is not None
    fail.params.append(click.Option(["--json"], is_flag=True, expose_value=False))
    result = runner.invoke(group, ["fail", "--json"])
    assert result.exit_code == code
    assert result.stderr == runner.invoke(group, ["fail"]).stderr
    (line,) = result.stdout.splitlines()
    found = json.loads(line)["error"]
    assert (found["message"], found["exit_code"]) == (message, code)
    assert str(found["remedy"]).startswith(str(remedy))
    assert runner.invoke(group, ["fail"]).stdout == ""


def test_with_json_wrong_use_is_json_too(runner: CliRunner) -> None:
    for args in (["setings", "--json"], ["restore", "--json"], ["status", "--json", "--nope"]):
        result = runner.invoke(main, args)
        assert result.exit_code == 2
        assert json.loads(result.stdout)["error"]["exit_code"] == 2


def test_the_version(runner: CliRunner) -> None:
    version = metadata.version("emberline")
    assert runner.invoke(main, ["version"]).stdout == f"emberline {version}\n"
    assert json.loads(runner.invoke(main, ["version", "--json"]).stdout)["emberline"] == version


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (Fatal("a is\nwrong.", remedy="Mend it."), 1, "emberline: a is wrong. Mend it\n"),
        (UsageError("b is wrong"), 2, "emberline: b is wrong\n"),
    ],
)
def test_errors_are_one_line(runner: CliRunner, error: Fatal, code: int, line: str) -> None:
    assert one_line(runner.invoke(failing(error), ["fail"]), code) == line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer. Look"),
        (PermissionError(13, "Permission denied", "/x/emberline.toml"), "toml: Permission denied"),
        (TimeoutError(), "TimeoutError. Look at the broker"),
        (aiohttp.ServerDisconnectedError(), "Server disconnected. Look at the broker"),
        (ValueError("evil \x1b[2J"), r"a defect: ValueError: evil \x1b[2J. Run it again with"),
        (ExceptionGroup("g", [OSError(5, "x"), ExceptionGroup("h", [Fatal("why")])]), ": why"),
    ],
)
def test_an_error_that_no_command_foresaw_is_one_line_too(
    runner: CliRunner, error: Exception, said: str
) -> None:
    assert said in one_line(runner.invoke(failing(error), ["fail"]), 1)
    told = runner.invoke(failing(ValueError("x")), ["--verbose", "fail"])
    assert isinstance(told.exception, ValueError)


def test_ctrl_c_is_not_an_error_message(runner: CliRunner) -> None:
    result = runner.invoke(failing(KeyboardInterrupt()), ["fail"])  # type: ignore[arg-type]
    assert result.exit_code == 130


def test_settings_outside_of_the_group() -> None:
    with click.Context(click.Command("alone")) as ctx:
        assert settings_of(ctx).client_id == "emberline"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("status --state expird", "Did you mean EXPIRED?"),
        ("rejected list --code bad_tim", "Did you mean bad_time?"),
        ("audience {} --on-expired exlude", "Did you mean exclude?"),
        ("audience {} --format cont", "Did you mean count?"),
        ("export campaign:a --format cvs", "Did you mean csv?"),
        ("profile u --by aliass", "Did you mean alias?"),
        ("keys add a --scope raed", "Did you mean read?"),
        ("topics craete", "Did you mean create"),
        ("rejected lst", "Did you mean list"),
        ("settings --set release=at-next-swep", "Did you mean at-next-sweep?"),
    ],
)
def test_a_wrong_word_gets_the_nearest_as_a_hint(runner: CliRunner, typed: str, told: str) -> None:
    assert told in one_line(runner.invoke(main, typed.split()), 2)


def test_a_right_word_is_right_in_any_case(runner: CliRunner) -> None:
    for typed in ("status --state expired", "status --state EXPIRED"):
        result = runner.invoke(main, [*typed.split(), "--bootstrap-servers", "127.0.0.1:1"])
        assert "--state" not in result.output
