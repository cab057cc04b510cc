"""The order of rooms: a room imports only rooms before it.

The tests check only two things: the order, and that there are no cycles, which follows from it. The
docstring of each room's `__init__.py` says what the room is for.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ORDER = (
    "schemas",  # errors
    "schemas.words",
    "schemas.records",
    "schemas.tables",
    "schemas.segment",
    "schemas.mapping",
    "schemas.decode",
    "streams",  # settings, clock
    "streams.metrics",
    "streams.devbroker",
    "streams.kafka",
    "streams.group",
    "streams.state",
    "streams.user_index",
    "agents",  # nothing
    "agents.terminal",
    "agents.resources",
    "agents.names",
    "agents.filters",
    "agents.coordinator.rules",
    "agents.coordinator",
    "agents.views",
    "agents.users",
    "agents.shard",
    "agents.supervision",
    "agents.http",
    "agents.reference",
    "agents.requests",
    "agents.notify",
    "agents.scatter",
    "agents.audience",
    "agents.web",
    "agents.worker",
    "agents.tools",
    "agents.verify",
    "agents.cli",
)
PLACE = {room: place for place, room in enumerate(ORDER)}


def room_of(module: str) -> str:
    """The room in which a module lies."""
    while module not in PLACE:
        module = module.rpartition(".")[0]
        assert module, "a module that lies in no room"
    return module


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("schemas", "streams", "agents"):
        for file in sorted((ROOT / package).rglob("*.py")):
            yield ".".join(file.relative_to(ROOT).with_suffix("").parts), file


def imported(file: Path) -> Iterator[str]:
    """The modules of the project that a module imports, and names in them."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: relative imports hide the rule"
            for name in node.names:
                yield f"{node.module}.{name.name}"


def ours(name: str) -> bool:
    """Whether what is imported is part of the project."""
    return name.partition(".")[0] in ("schemas", "streams", "agents", "tests")


def test_every_room_says_what_it_is_for() -> None:
    for room in ORDER:
        text = (ROOT / room.replace(".", "/") / "__init__.py").read_text()
        said = ast.get_docstring(ast.parse(text)) or ""
        assert "Begin with" in " ".join(said.split()), f"{room} does not say where to begin"


def test_the_drawing_of_the_architecture_page_has_the_rooms_in_their_order() -> None:
    drawing = (ROOT / "docs/architecture.md").read_text().split("\n## ", 1)[0]
    drawn, package = [], ""
    for indent, name in re.findall(r"^( {4}| {6})(\w+)", drawing, re.MULTILINE):
        package = name if len(indent) == 4 else package
        drawn.append(package if name == package else f"{package}.{name}")
    rooms = [room for room in ORDER if room.count(".") == 1]
    assert [room for room in reversed(drawn) if "." in room] == rooms


@pytest.mark.parametrize("room", ORDER)
def test_a_room_imports_only_rooms_before_it(room: str) -> None:
    files = [(name, file) for name, file in modules() if room_of(name) == room]
    assert files
    wrong = [
        f"{name} imports {found}"
        for name, file in files
        for found in imported(file)
        if ours(found) and (found.startswith("tests") or PLACE[room_of(found)] > PLACE[room])
    ]
    assert wrong == []


def _imported_modules(text: str) -> Iterator[str]:
    """Modules that a program imports, programs in its strings included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^\s*(?:from|import)\s+(tests[\w.]*)", node.value, re.MULTILINE)


def test_no_test_imports_another() -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {found}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for found in sorted(set(_imported_modules(file.read_text())))
        if found.startswith("tests.") and found.rpartition(".")[2].startswith("test_")
    ]
    assert wrong == [], "what tests share goes to tests/rigs"


MOST_PARAMETERS = 7
LONG = {
    # the options of a command line, as they come
    "agents.cli.asking.carry_out",
    # the fields of one record
    "agents.coordinator.rules.outputs.audit",
    # the one call of the whole room
    "schemas.decode.ingest.ingest",
    # limits, each with a default, that tests alone set
    "streams.kafka.remote_registry.HttpSource.__init__",
}
"""Functions with more parameters than that, and why."""


def _functions(name: str, node: ast.AST) -> Iterator[tuple[str, ast.arguments]]:
    """Every function in a module, with its qualified name."""
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}"
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner, child.args
        yield from _functions(inner, child)


def test_a_function_has_seven_parameters_at_most() -> None:
    long = set()
    for name, file in modules():
        for function, found in _functions(name, ast.parse(file.read_text())):
            names = [one.arg for one in (*found.posonlyargs, *found.args, *found.kwonlyargs)]
            names += [one.arg for one in (found.vararg, found.kwarg) if one is not None]
            if len([one for one in names if one not in ("self", "cls")]) > MOST_PARAMETERS:
                long.add(function)
    assert long == LONG, "what goes together is an object with a name"


ACTORS = (
    "streams.state",
    "agents.coordinator",
    "agents.coordinator.rules",
    "agents.notify",
    "agents.requests",
    "agents.resources",
    "agents.scatter",
    "agents.shard",
    "agents.supervision",
    "agents.verify",
    "agents.views",
)
OUTSIDE = re.compile(
    r"(aiokafka|time|uuid|secrets|streams\.kafka\.(bootstrap|fetch|kafka_log|offsets|step))\b"
    r"|random\.(?!Random)|streams\.kafka\.topics\.(check|configs|create|inspect|partitions|repair)"
)


def test_actors_know_the_world_by_their_environment_alone() -> None:
    wrong = [
        f"{name} imports {found}"
        for name, file in modules()
        if room_of(name) in ACTORS
        for found in imported(file)
        if OUTSIDE.match(found)
    ]
    assert wrong == [], "logs, time and random numbers are injected: streams/kafka/environment.py"


ALIKE = {"Shard"}
"""A protocol and what keeps it."""


def test_a_class_has_a_name_of_its_own() -> None:
    found = [
        node.name
        for _, file in modules()
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert {name for name in found if found.count(name) > 1} == ALIKE


CLIENTS = {"AIOKafkaAdminClient", "AIOKafkaClient", "AIOKafkaConnection", "AIOKafkaConsumer",
           "AIOKafkaProducer", "create_conn", "Connection", "Client"}  # fmt: skip
MAKERS = {"streams.kafka.bootstrap", "streams.kafka.clients", "streams.kafka.diagnosis"}
"""The modules that may make clients of brokers: with the security of the settings."""


def test_no_client_of_a_broker_is_made_without_the_security_of_the_settings() -> None:
    wrong = [
        f"{name}:{node.lineno} makes {called}"
        for name, file in modules()
        if name not in MAKERS
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        for called in [ast.unparse(node.func).rpartition(".")[2]]
        if called in CLIENTS
    ]
    assert wrong == [], "streams/kafka/clients.py makes them"
