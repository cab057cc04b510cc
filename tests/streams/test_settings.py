"""Settings: precedence, origins, and the errors for wrong ones."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from schemas.errors import UsageError
from streams import settings as module
from streams.period import Period
from streams.settings import Settings, describe, load, names
from streams.settings_values import text


def settings_from(
    folder: Path,
    toml: str = "",
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    file = folder / "emberline.toml"
    file.write_text(toml)
    return load(flags, env or {}, file)


def test_defaults(tmp_path: Path) -> None:
    settings = load(env={}, file=tmp_path / "none.toml")
    assert settings == Settings()
    assert settings.retention == Period(months=3)
    assert settings.expiring_soon == (Period(days=30), Period(days=7))
    assert settings.group_id == "emberline.workers"
    assert settings.segment_bytes == 900_000
    assert set(settings.origins.values()) == {"default"}


def test_later_places_win_and_are_remembered(tmp_path: Path) -> None:
    settings = settings_from(
        tmp_path,
        "partitions = 2\nhttp_port = 1000\nretention = 'P1M'\nfan_in = 9",
        {"EMBERLINE_HTTP_PORT": "2000", "EMBERLINE_RETENTION": "PT20S"},
        {"retention": "PT5S", "prefix": None},
    )
    assert (settings.partitions, settings.http_port, settings.fan_in) == (2, 2000, 9)
    assert settings.retention == Period(seconds=5)
    assert settings.origins["retention"] == "--retention"
    assert settings.origins["http_port"] == "EMBERLINE_HTTP_PORT"
    assert settings.origins["partitions"] == str(tmp_path / "emberline.toml")
    assert settings.origins["prefix"] == "default"


def test_the_brokers_address_has_two_variables(tmp_path: Path) -> None:
    kafka = {"KAFKA_BOOTSTRAP_SERVERS": "a:1,b:2"}
    assert settings_from(tmp_path, env=kafka).bootstrap_servers == "a:1,b:2"
    both = kafka | {"EMBERLINE_BOOTSTRAP_SERVERS": "c:3"}
    assert settings_from(tmp_path, env=both).bootstrap_servers == "c:3"


def test_values_in_all_their_forms(tmp_path: Path) -> None:
    toml = """
        memory_budget = "800MB"
        late_rows = 7
        sweep_confirm_share = 1
        restore_on_resume = false
        expiring_soon = ["P3D"]
        data_dir = "/var/lib/x"
        [retention_by_tag]
        vip = "P1Y"
    """
    env = {
        "EMBERLINE_STEP_BYTES": "1_000",
        "EMBERLINE_SEGMENTS_ARE_ROOTS": "no",
        "EMBERLINE_RETENTION_BY_KIND": "canvas=P6M, campaign=P1M",
        "EMBERLINE_FETCH_BYTES": "1.5MiB",
    }
    settings = settings_from(tmp_path, toml, env)
    assert settings.memory_budget == 800_000_000
    assert settings.fetch_bytes == 3 << 19
    assert settings.step_bytes == 1000
    assert settings.sweep_confirm_share == 1.0
    assert (settings.restore_on_resume, settings.segments_are_roots) == (False, False)
    assert settings.expiring_soon == (Period(days=3),)
    assert settings.data_dir == Path("/var/lib/x")
    assert settings.retention_by_tag == {"vip": Period(years=1)}
    assert settings.retention_by_kind == {"canvas": Period(months=6), "campaign": Period(months=1)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bootstrap_servers", "nowhere"),
        ("prefix", "a b"),
        ("partitions", "0"),
        ("partitions", True),
        ("partitions", 1.5),
        ("http_port", "65536"),
        ("retention", "3 months"),
        ("retention", 3),
        ("sweep_interval", "P1M"),
        ("sweep_interval", "PT0S"),
        ("sweep_confirm_share", "1.1"),
        ("sweep_confirm_share", "nan"),
        ("memory_budget", "1 sheep"),
        ("release", "never"),
        ("restore_on_resume", "perhaps"),
        ("segment_bytes", "2MB"),
        ("retention_by_tag", "vip"),
        ("expiring_soon", 5),
        ("data_dir", ""),
        ("schema_registry_url", "ftp://x"),
        ("retention_by_kind", "campain=P1Y"),
    ],
)
def test_the_error_of_a_bad_value_has_place_and_remedy(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}: {name}: ") as caught:
        load({name: value}, {}, Path("none.toml"))
    assert caught.value.remedy


def test_the_error_of_an_unknown_name_has_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"emberline\.toml: there is no setting 'partition'") as it:
        settings_from(tmp_path, "partition = 3")
    assert it.value.remedy.startswith("Did you mean partitions?")
    with pytest.raises(UsageError, match="--colour"):
        settings_from(tmp_path, flags={"colour": "red"})


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"emberline\.toml"):
        settings_from(tmp_path, "partitions: 3")


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().partitions = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        Settings().origins["partitions"] = "me"  # type: ignore[index]


def test_every_setting_is_described_once_and_can_be_written_back(tmp_path: Path) -> None:
    settings = settings_from(tmp_path, 'retention_by_tag = {vip = "P1Y"}')
    lines = describe(settings)
    assert [line.name for line in lines] == list(names())
    assert all(line.doc for line in lines)
    env = {f"EMBERLINE_{line.name.upper()}": line.value for line in lines}
    assert load(env=env, file=tmp_path / "none.toml") == settings


def test_a_secret_is_never_printed() -> None:
    secret = module._setting("", text(r"[a-z]*", "small letters"), "a secret", secret=True)
    part = dataclasses.fields(dataclasses.make_dataclass("Keys", [("password", str, secret)]))[0]
    assert not part.repr
    with pytest.raises(UsageError) as caught:
        module._read(part, "TOP-SECRET", "EMBERLINE_PASSWORD")
    assert "TOP-SECRET" not in str(caught.value)


@pytest.mark.parametrize("written", ["'2026-01-31'", "2026-01-31", "'20260131'"])
def test_a_date_in_its_forms(tmp_path: Path, written: str) -> None:
    settings = settings_from(tmp_path, f"policy_effective_at = {written}")
    assert settings.policy_effective_at == "2026-01-31"
    assert Settings().policy_effective_at == ""


@pytest.mark.parametrize("written", ["31.1.2026", "2026-02-30", "2026-01-31T00:00:00", "soon"])
def test_what_is_no_date(tmp_path: Path, written: str) -> None:
    with pytest.raises(UsageError, match="EMBERLINE_POLICY_EFFECTIVE_AT: policy_effective_at"):
        settings_from(tmp_path, env={"EMBERLINE_POLICY_EFFECTIVE_AT": written})


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("EMBERLINE_PARTITION", "EMBERLINE_PARTITIONS"),
        ("EMBERLINE_RETENSION", "EMBERLINE_RETENTION"),
        ("EMBERLINE_HTTPPORT", "EMBERLINE_HTTP_PORT"),
        ("EMBERLINE_APIKEY", "EMBERLINE_API_KEY"),
    ],
)
def test_a_misspelt_variable_is_an_error(tmp_path: Path, variable: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"Did you mean {meant}"):
        load(env={variable: "s3cret"}, file=tmp_path / "none")


def test_a_variable_of_another_program_is_logged_and_of_a_service_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    env = {
        "EMBERLINE_SERVICE_HOST": "10.0.0.1",
        "EMBERLINE_SERVICE_PORT_HTTP": "6066",
        "EMBERLINE_PORT": "tcp://10.0.0.1:6066",
        "EMBERLINE_PORT_6066_TCP_ADDR": "10.0.0.1",
        "EMBERLINE_IMAGE": "s3cret",
        "EMBERLINE_API_KEY": "k",
    }
    assert load(env=env, file=tmp_path / "none").api_key == "k"
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == [
        "EMBERLINE_IMAGE"
    ]
    assert "s3cret" not in caplog.text
