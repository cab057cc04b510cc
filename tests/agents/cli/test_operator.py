"""The operators' commands on a real broker, with a coordinator whose answers the test sets."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner

from agents.cli import main
from agents.cli.asking import sources_in
from agents.tools.operator_requests import command
from agents.tools.publish import Chunk, publish
from schemas.decode.batch import unpack
from schemas.decode.reject import reject
from schemas.errors import UsageError
from schemas.records import codec
from schemas.records.lifecycle import SourceState, State
from schemas.records.undecodable import REMEDIES
from streams.kafka.kafka_log import KafkaLog
from streams.kafka.topic_reader import TopicReader, read_all
from streams.kafka.topics import Topics
from streams.settings import Settings
from tests.rigs.command_line import emberline
from tests.rigs.record_batches import Produced, batch

Told = dict[str, Any]
Decide = Callable[[dict[str, Any]], list[Told]]


def result(request: dict[str, Any], outcome: str, source: str | None = None, **more: Any) -> Told:
    return {"event_id": "e", "request_id": request["request_id"], "source": source,
            "outcome": outcome, "time": 1, **more}  # fmt: skip


@asynccontextmanager
async def coordinator(settings: Settings, decide: Decide) -> AsyncIterator[list[dict[str, Any]]]:
    """Answers every command with the results that `decide` gives; yields the commands read."""
    commands: list[dict[str, Any]] = []

    async def answer() -> None:
        topics = Topics(settings.prefix)
        async with TopicReader.open(KafkaLog(settings), [topics.control]) as reader:
            while True:
                for _, _, record in await reader.some():
                    commands.append(codec.decode(record.value or b"", "command"))
                    told = [codec.encode("result", one) for one in decide(commands[-1])]
                    keys: list[bytes | None] = [b"k"] * len(told)
                    await publish(settings, [Chunk("control.results", keys, told)])

    task = asyncio.create_task(answer())
    try:
        yield commands
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.connected
async def test_a_restore_waits_for_its_end(settings: Settings, topics: Topics) -> None:
    def decide(request: dict[str, Any]) -> list[Told]:
        return [
            result(request, "accepted", total=1),
            result(request, "progress", "campaign:a", done=1, total=2),
            result(request, "completed", "campaign:a", message="available again"),
            result(request, "completed", message="1 of 1 completed"),
        ]

    async with coordinator(settings, decide) as commands:
        done = await emberline(settings, "restore", "campaign:a", "--tag", "t", "--reason", "why")
    assert done.exit_code == 0, done.output
    assert "campaign:a: completed, available again" in done.stdout
    assert commands[0]["sources"] == ["campaign:a"]
    assert (commands[0]["tag"], commands[0]["reason"]) == ("t", "why")
    listed = await emberline(settings, "restores", "--json")
    request, end = [json.loads(line) for line in listed.stdout.splitlines()]
    assert end == {"complete": True, "count": 1}
    assert (request["outcome"], request["tag"]) == ("completed", "t")
    assert request["sources"][0]["source"] == "campaign:a"
    assert "tag t" in (await emberline(settings, "restores")).stdout
    assert request["request_id"] in (await emberline(settings, "restores")).stdout
    assert "tag t" not in (await emberline(settings, "restores", "--open")).stdout
    one = await emberline(settings, "restores", request["request_id"][:6])
    assert "campaign:a" in one.stdout
    followed = await emberline(settings, "restores", request["request_id"], "--follow", "--json")
    assert json.loads(followed.stdout.splitlines()[-1])["outcome"] == "completed"
    assert (await emberline(settings, "restores", "--follow")).exit_code == 2
    assert "emberline restores" in (await emberline(settings, "restores", "nosuch")).stderr


@pytest.mark.connected
async def test_another_command_under_a_known_id_is_no_part_of_the_request(
    settings: Settings, topics: Topics
) -> None:
    def decide(request: dict[str, Any]) -> list[Told]:
        if request["sources"] == ["campaign:a"]:
            return [result(request, "accepted"), result(request, "completed")]
        return [result(request, "refused", code="invalid_command", message="used before")]

    async def asked(*words: str) -> int:
        return (await emberline(settings, *words, "--request-id", words[0])).exit_code

    async with coordinator(settings, decide):
        assert await asked("restore", "campaign:a") == 0
        assert await asked("restore", "campaign:b") == 1
        assert await asked("hold", "campaign:a") == 0
        refused = await emberline(settings, "restore", "campaign:b", "--request-id", "hold")
        assert refused.exit_code == 1
        assert "used before" in refused.stderr
    listed = await emberline(settings, "restores", "--json")
    *found, end = [json.loads(line) for line in listed.stdout.splitlines()]
    assert end["complete"]
    assert [(one["request_id"], one["outcome"]) for one in found] == [("restore", "completed")]


@pytest.mark.connected
async def test_without_waiting_acceptance_is_enough(settings: Settings, topics: Topics) -> None:
    def decide(request: dict[str, Any]) -> list[Told]:
        return [result(request, "accepted", total=1)]

    async with coordinator(settings, decide):
        to = ("--notify", "ada@example.com")
        done = await emberline(settings, "restore", "campaign:a", "--no-wait", "--json", *to)
        assert done.exit_code == 0
        assert "no mail is sent" in done.stderr, "no mail server is set here"
        assert json.loads(done.stdout)["request"]["outcome"] == "accepted"
        late = await emberline(
            settings, "restore", "campaign:a", *to, "--set", "smtp_host=mail", "--deadline", "PT1S"
        )
    assert late.exit_code == 1
    assert "accepted, and nothing was heard" in late.stderr
    assert "no mail is sent" not in late.stderr


@pytest.mark.connected
async def test_a_refusal_ends_with_1_and_its_code(settings: Settings, topics: Topics) -> None:
    def decide(request: dict[str, Any]) -> list[Told]:
        refused = result(
            request, "refused", "campaign:a", code="nothing_archived", message="no data"
        )
        return [
            result(request, "accepted", total=2),
            refused,
            result(request, "completed", "campaign:b"),
            result(request, "completed", message="1 of 2 completed"),
        ]

    async with coordinator(settings, decide):
        for name in ("restore", "hold", "unhold", "expire", "cancel"):
            done = await emberline(settings, name, "campaign:a", "campaign:b")
            assert done.exit_code == 1
            assert "campaign:a refused (nothing_archived): no data" in done.stderr
            assert "campaign:b: completed" in done.stdout


@pytest.mark.connected
async def test_an_unknown_source_gets_the_nearest_as_a_hint(
    settings: Settings, topics: Topics
) -> None:
    def decide(request: dict[str, Any]) -> list[Told]:
        (named,) = request["sources"]
        return [
            result(request, "refused", named, code="unknown_source", message="no such source"),
            result(request, "refused", code="unknown_source", message="no such source"),
        ]

    state = SourceState("campaign:spring", State.ACTIVE, 1)
    value = codec.encode("state", state.to_record())
    await publish(settings, [Chunk("lifecycle.state", [b"campaign:spring"], [value])])
    async with coordinator(settings, decide):
        done = await emberline(settings, "hold", "campaign:sprng")
        assert done.exit_code == 1
        assert "no such source. Did you mean campaign:spring?" in done.stderr
        done = await emberline(settings, "hold", "campagin:sprng")
        assert done.exit_code == 1
        assert "Did you mean campaign:spring?" in done.stderr


@pytest.mark.connected
async def test_sources_are_named_as_people_call_them(settings: Settings, topics: Topics) -> None:
    """The command has keys, and what is not clear is refused before there is one."""

    def decide(request: dict[str, Any]) -> list[Told]:
        done = [result(request, "completed", source) for source in request["sources"]]
        return [result(request, "accepted", total=len(done)), *done, result(request, "completed")]

    spring, autumn, other = "campaign:5ce1da73", "campaign:77", "canvas:88"
    names = {spring: "Spring sale", autumn: "Autumn", other: "autumn"}
    records = [SourceState(key, State.ACTIVE, 1, name=name) for key, name in names.items()]
    states = [codec.encode("state", record.to_record()) for record in records]
    keys: list[bytes | None] = [key.encode() for key in names]
    audit = {"event_id": "1", "source": spring, "time": 1, "decision": "hold"}
    await publish(
        settings,
        [
            Chunk("lifecycle.state", keys, states),
            Chunk("lifecycle.audit", [spring.encode()], [codec.encode("audit", audit)]),
        ],
    )
    async with coordinator(settings, decide) as commands:
        done = await emberline(settings, "hold", "spring SALE", "5ce1d", other)
        assert done.exit_code == 0, done.output
        assert f'spring SALE: {spring} ("Spring sale", ACTIVE)' in done.stderr
        told = await emberline(settings, "hold", "77", "--json", "--request-id", "request-1")
        assert json.loads(told.stdout)["understood"] == [
            {"given": "77", "source": autumn, "name": "Autumn"}
        ]
        for text in ("autumn", "Autum", "spr"):
            done = await emberline(settings, "expire", text)
            assert done.exit_code == 1
            assert "the key of the one that is meant" in done.stderr
            assert ("Write more of it" in done.stderr) is (text != "autumn")
        done = await emberline(settings, "expire", "sprong sale")
        assert (done.exit_code, f"Did you mean {spring}" in done.stderr) == (1, True)
        assert (await emberline(settings, "cancel", "request-1", "Spring sale")).exit_code == 0
    assert [command["sources"] for command in commands] == [
        [spring, other], [autumn], ["request-1", spring]
    ]  # fmt: skip
    found = await emberline(settings, "audit", "spring", "--json")
    assert json.loads(found.stdout.splitlines()[0])["source"] == spring


def test_a_user_without_a_name_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs under a number."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert command("hold", ("campaign:a",))["requested_by"] == f"uid {os.getuid()}"


@pytest.mark.connected
async def test_pause_and_resume_name_no_source(settings: Settings, topics: Topics) -> None:
    def decide(request: dict[str, Any]) -> list[Told]:
        return [result(request, "accepted"), result(request, "completed", message="paused")]

    async with coordinator(settings, decide) as commands:
        assert (await emberline(settings, "pause")).exit_code == 0
        assert (await emberline(settings, "resume", "--request-id", "r1")).exit_code == 0
    assert [command["type"] for command in commands] == ["pause", "resume"]
    assert commands[1]["request_id"] == "r1"


@pytest.mark.connected
async def test_no_coordinator_answers(settings: Settings, topics: Topics) -> None:
    done = await emberline(settings, "hold", "campaign:a", "--deadline", "PT1S")
    assert done.exit_code == 1
    assert "Is a worker running" in done.stderr


@pytest.mark.connected
async def test_status_audit_and_rejected_read_their_topics(
    settings: Settings, topics: Topics
) -> None:
    exempt = {"root": "canvas:w", "through": ["segment:s"], "filter": "received_from_campaign"}
    states: list[dict[str, Any]] = [
        {"source": "campaign:a", "state": "EXEMPT", "version": 1, "exempt_by": [exempt]},
        {"source": "campaign:b", "state": "STOPPED", "version": 1, "due_at": 1_800_000_000_000},
        {"source": "campaign:c", "state": "HELD", "version": 1,
         "held": {"by": "ann", "reason": "dispute", "since": 1}},
    ]  # fmt: skip
    keys: list[bytes | None] = [str(s["source"]).encode() for s in states]
    values = [codec.encode("state", s | {"updated_at": 1}) for s in states]
    gone = Chunk("lifecycle.state", [b"campaign:d", b"campaign:d"], [values[0], None])
    audit = {"event_id": "e", "source": "campaign:a", "time": 1, "decision": "exempt"}
    await publish(
        settings,
        [
            gone,
            Chunk("lifecycle.state", keys, values),
            Chunk("lifecycle.audit", [b"x", b"campaign:a"], [b"x", codec.encode("audit", audit)]),
        ],
    )
    status = await emberline(settings, "status")
    assert status.exit_code == 0, status.output
    assert "received_from_campaign of canvas:w through segment:s" in status.stdout
    assert "held by ann: dispute" in status.stdout
    assert "2027-01-15 08:00:00Z" in status.stdout
    assert "1 EXEMPT, 1 HELD, 1 STOPPED" in status.stdout
    facts = json.loads((await emberline(settings, "status", "--json", "--state", "held")).stdout)
    assert [s["source"] for s in facts["sources"]] == ["campaign:c"]
    assert "No worker answers at http://127.0.0.1:1: it cannot be reached" in status.stdout
    assert "No worker answers" in facts["worker_error"]
    assert facts["worker"] is None
    assert facts["sweep"]["paused"] is False
    shown = await emberline(settings, "audit", "campaign:a", "--json")
    decided, end = map(json.loads, shown.stdout.splitlines())
    assert decided["decision"] == "exempt"
    assert end == {"complete": True, "count": 1}
    misspelt = await emberline(settings, "audit", "campain:a")
    assert misspelt.exit_code == 2
    assert "Did you mean campaign:a?" in misspelt.stderr
    assert "none" in (await emberline(settings, "rejected", "list")).stdout
    await _rejects(settings)


async def _rejects(settings: Settings) -> None:
    """Checks the user, the record, the fault and the remedy."""
    event = {"id": "e1", "user_id": "ada", "time": 1_767_225_600, "campaign_id": "c"}
    values = [
        json.dumps(event).encode(),
        codec.encode("send", event | {"id": "e2\x1b[31m", "user_id": "bob"}),
        b"\xff\x1b]0;title\x07",
    ]
    made = batch([Produced(value, b"key") for value in values], topic="t.interactions.send")
    found = [
        reject(made, record, code, detail)
        for record, code, detail in zip(
            unpack(made),
            ("bad_time", "bad_time", "undecodable"),
            ("time 1767225600 at broker timestamp 1", "time \x9b2J\nof", "first byte is 255"),
            strict=True,
        )
    ]
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers)
    await producer.start()
    try:
        for one in found:
            await producer.send_and_wait(
                Topics(settings.prefix).rejected, one.value, one.key, headers=list(one.headers)
            )
    finally:
        await producer.stop()
    listed = await emberline(settings, "rejected", "list")
    assert "user ada, event e1: time 1767225600 at broker timestamp 1" in listed.stdout
    assert "t.interactions.send[0] offset 0" in listed.stdout
    assert "user bob, event e2\\x1b[31m: time \\x9b2J\\nof" in listed.stdout
    assert "key key: first byte is 255" in listed.stdout
    assert f"2 bad_time: {REMEDIES['bad_time']}" in listed.stdout
    assert "seconds?" in listed.stdout
    assert not set("\x1b\x07\x9b") & set(listed.stdout)
    rows = (await emberline(settings, "rejected", "list", "--json")).stdout.splitlines()
    *facts, end = [json.loads(row) for row in rows]
    assert (end["complete"], end["counts"]) == (True, {"bad_time": 2, "undecodable": 1})
    assert [(fact["user"], fact["event_id"]) for fact in facts] == [
        ("ada", "e1"), ("bob", "e2\x1b[31m"), (None, None)
    ]  # fmt: skip
    assert facts[0]["value"]["time"] == 1_767_225_600
    again = await emberline(
        settings, "rejected", "replay", "--dry-run", "--json", "--since", "PT1H"
    )
    assert again.exit_code == 1, "records of another prefix are left"
    done = json.loads(again.stdout)
    assert (done["replayed"], done["left"]) == (0, {"other_topic": 3})
    wrong = await emberline(settings, "rejected", "replay", "--topic", "interactions.sent")
    assert (wrong.exit_code, "Did you mean interactions.send?" in wrong.stderr) == (2, True)
    wrong = await emberline(settings, "rejected", "replay", "--until", "tomorrow")
    assert (wrong.exit_code, "--until: 'tomorrow' is no time" in wrong.stderr) == (2, True)
    assert facts[1]["detail"] == "time \x9b2J\nof"
    assert facts[0]["remedy"] == REMEDIES["bad_time"]


@pytest.mark.connected
async def test_send_checks_and_sends(settings: Settings, topics: Topics) -> None:
    event = {"id": "1", "user_id": "u", "time": 1_760_000_000_000, "campaign_id": "c"}
    assert (await emberline(settings, "send", "send", json.dumps(event))).exit_code == 0
    stdin = await emberline(settings, "send", "user", "-", text='[{"user_id":"a"},{"user_id":"b"}]')
    assert "sent 2" in stdin.stdout
    definition = {"key": "campaign:c", "status": "ACTIVE", "filters": {"filter": "x"}}
    file = Path(settings.data_dir).parent / "definition.json"
    file.write_text(json.dumps(definition))
    assert (await emberline(settings, "send", "definition", f"@{file}")).exit_code == 0
    assert (
        await emberline(settings, "send", "definition", "campaign:d", "--delete")
    ).exit_code == 0
    (sent,) = await read_all(KafkaLog(settings), topics.event("send"))
    assert codec.decode(sent[2].value or b"")["campaign_id"] == "c"
    stored, deleted = await read_all(KafkaLog(settings), topics.catalog)
    assert json.loads(str(codec.decode(stored[2].value or b"")["filters"])) == {"filter": "x"}
    assert (deleted[2].key, deleted[2].value) == (b"campaign:d", None)


EVENT = '{"id":"1","user_id":"u","time":1767225600000}'


def test_sources_of_a_file_are_those_of_its_lines_in_one_request() -> None:
    many = [f"campaign:{n:024x}" for n in range(50_000)]
    assert sources_in(io.BytesIO("\n".join(many).encode())) == tuple(many)
    # what is no line feed ends no line; nothing is no source
    assert sources_in(io.BytesIO("a\u2028b\r\n\n  \n-x\n".encode())) == ("a\u2028b", "-x")
    assert sources_in(io.BytesIO(b"")) == ()
    for wrong in (b"\xff", b"x" * (1 << 25)):
        with pytest.raises(UsageError):
            sources_in(io.BytesIO(wrong))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["restore"], "no source is named"),
        (["hold", "--from", os.devnull], "no source is named"),
        (["send", "sned", "{}"], "Did you mean send"),
        (["send", "send", "{"], "no JSON"),
        (["send", "send", "7"], "JSON object"),
        (["send", "send", '{"id":"1"}'], "user_id"),
        (["send", "send", '{"userid":"1"}'], "Did you mean user_id"),
        (["send", "definition", '{"key":"spring","status":"ACTIVE"}'], "campaign:ID"),
        (["send", "send", "x", "--delete"], "cannot be deleted"),
        (["send", "definition", "sprng", "--delete"], "no key of a definition"),
        (["send", "send", '{"id":"1","user_id":"u","time":1767225600}'], "bad_time"),
        (["send", "send", '{"id":"1","user_id":"","time":1767225600000}'], "missing_field"),
        (["send", "send", EVENT.replace("}", ',"chanel":"SMS"}')], "Did you mean channel"),
        (["send", "send", EVENT.replace("}", ',"channel":"EMIAL"}')], "Did you mean EMAIL"),
        (["send", "open", EVENT.replace("}", ',"link_alias":"x"}')], "link_alias"),
        (["send", "send", f"[{EVENT},{EVENT.replace('1767', '2767')}]"], "[1]: bad_time"),
        (["send", "send", f'[{EVENT},{{"id":"2"}}]'], "[1]: "),
        (
            ["send", "definition", '{"key":"canvas:a","status":"ACTIVE","steps":[{"nmae":"x"}]}'],
            "Did you mean name",
        ),
        (
            ["send", "definition", '{"key":"canvas:a","status":"ACTIVE","references":["sprng"]}'],
            "names nothing",
        ),
        (
            ["send", "definition", '{"key":"canvas:a","status":"ACTIVE","kind":"campaign"}'],
            "says another",
        ),
        (["send", "send", "@/none"], "No such file"),
        (
            ["send", "definition", '{"key":"canvas:a","status":"ACTIVE","filters":"not json"}'],
            "unreadable_filter",
        ),
        (["topics", "skip", "--at", "nowhere"], "TOPIC:PARTITION:OFFSET"),
        (["import", "/none"], "no file"),
        (["restore", "campaign:a", "--deadline", "soon"], "soon"),
    ],
)
def test_wrong_use_ends_with_2(args: list[str], said: str) -> None:
    done = CliRunner().invoke(main, [*args, "--bootstrap-servers", "127.0.0.1:1"])
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_registry_that_does_not_answer_is_reported_and_nothing_is_sent() -> None:
    flags = ["--set", "schema_registry_url=http://ann:s3cret@127.0.0.1:1"]
    done = CliRunner().invoke(main, ["send", "send", EVENT, *flags])
    assert done.exit_code == 1
    assert "schema registry: http://127.0.0.1:1" in done.stderr
    assert "s3cret" not in done.output


@pytest.mark.connected
async def test_import_reports_bad_lines(settings: Settings, topics: Topics, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"type":"user","user_id":"a"}\nbroken\n')
    done = await emberline(settings, "import", str(file))
    assert done.exit_code == 1
    assert f"{file}:2" in done.stderr
    assert "1 record sent" in done.stdout
    again = await emberline(settings, "import", str(file), "--json")
    assert again.exit_code == 0
    assert json.loads(again.stdout)["already"] == 1
