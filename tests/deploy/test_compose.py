"""deploy/compose.production.yml: what it promises, and that its files fit the program."""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from agents.http.keys import Keys
from agents.web.server import ROUTES
from streams.settings import load
from tests.rigs.deployment import DEPLOY, ROOT, check_settings, has_command

FILE = DEPLOY / "compose.production.yml"
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
WORKERS = ("worker-1", "worker-2")
OURS = (*WORKERS, "topics")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load(FILE.read_text())


@pytest.fixture(scope="module")
def services(compose: Any) -> Any:
    return compose["services"]


@pytest.mark.parametrize("file", [ROOT / "docker-compose.yml", FILE], ids=lambda file: file.name)
def test_it_is_what_the_specification_of_compose_allows(file: Path) -> None:
    # found, not imported: a test needs its data alone
    spec = find_spec("check_jsonschema")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    schema = json.loads((folder / "builtin_schemas/vendor/compose-spec.json").read_text())
    validator = jsonschema_rs.validator_for(schema)
    found = yaml.safe_load(file.read_text())
    assert [f"{e.instance_path}: {e.message}" for e in validator.iter_errors(found)] == []
    found["services"]["wrong"] = {"imagee": "x"}
    assert not validator.is_valid(found)


def test_it_has_three_brokers_two_workers_and_what_watches_them(services: Any) -> None:
    assert list(services) == [*BROKERS, "users", "topics", *WORKERS, "prometheus", "grafana"]


def test_every_image_is_asked_for_with_its_digest(services: Any) -> None:
    """A variable without a default: whoever pulls the image looks its digest up."""
    for service in services.values():
        assert re.fullmatch(r"\$\{[A-Z]+_IMAGE:\?.*digest.*\}|\$\{[A-Z]+_IMAGE:\?.*@sha256.*\}",
                            service["image"])  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_the_settings_of_a_service_are_settings(services: Any, name: str) -> None:
    check_settings(services[name]["environment"])
    assert has_command(services[name]["command"])


def test_workers_are_two_members_that_others_reach_by_their_names(services: Any) -> None:
    for name in WORKERS:
        service, env = services[name], services[name]["environment"]
        assert env["EMBERLINE_GROUP_INSTANCE_ID"] == service["hostname"] == name
        assert env["EMBERLINE_ADVERTISED_URL"] == f"https://{name}:6066"
        assert env["EMBERLINE_HTTP_PORT"] == "6066"
        (port,) = service["ports"]
        assert port.endswith(":6066")
        (volume,) = service["volumes"]
        assert volume == f"{name}:{env['EMBERLINE_DATA_DIR']}"
        by_target = {s["target"]: s["source"] for s in service["secrets"] if isinstance(s, dict)}
        assert by_target == {"worker.pem": f"{name}.pem", "worker.key": f"{name}.key"}
    one, two = (dict(services[name]["environment"]) for name in WORKERS)
    for own in ("EMBERLINE_GROUP_INSTANCE_ID", "EMBERLINE_ADVERTISED_URL"):
        assert one.pop(own) != two.pop(own)
    assert one == two


def test_our_containers_have_no_rights_and_write_nothing_but_their_volume(services: Any) -> None:
    for name in OURS:
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service
        assert service.get("user") is None  # that of the image, which is not root


def test_a_health_check_asks_a_route_that_is_there(services: Any) -> None:
    routes = {route.path for route in ROUTES}
    for name in WORKERS:
        command = services[name]["healthcheck"]["test"]
        asked = re.findall(r"'(/\w+)'", command[-1])
        assert asked == ["/readyz"]
        assert set(asked) <= routes
        assert command[:3] == ["CMD", "python", "-c"]
        compile(command[-1], "healthcheck", "exec")
        used = set(re.findall(r"EMBERLINE_\w+", command[-1]))
        assert used <= set(services[name]["environment"])


def test_nothing_is_open_to_the_network_unless_it_is_asked_for(services: Any) -> None:
    for service in services.values():
        for port in service.get("ports", ()):
            assert port.startswith(("127.0.0.1:", "${OUTSIDE_ADDRESS:-127.0.0.1}:"))


def test_secrets_are_files(compose: Any, services: Any) -> None:
    declared = compose["secrets"]
    for name, secret in declared.items():
        assert secret == {"file": f"${{SECRETS:-./secrets}}/{name}"}
    used = set()
    for name, service in services.items():
        given = {}
        for one in service.get("secrets", ()):
            source, target = (one, one) if isinstance(one, str) else (one["source"], one["target"])
            used.add(source)
            given[f"/run/secrets/{target}"] = source
        for variable, value in service.get("environment", {}).items():
            if str(value).startswith("/run/secrets/"):
                assert value in given, f"{name}: {variable}"
            assert not re.search(r"PASSWORD$|SECRET$|API_KEY$", variable), f"{name}: {variable}"
    assert used == set(declared)


def test_volumes_and_mounted_files_are_there(compose: Any, services: Any) -> None:
    named = set()
    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists()
                assert volume.endswith(":ro")
            else:
                named.add(source)
    assert named == set(compose["volumes"])


def test_brokers_keep_three_copies_and_acknowledge_with_two(services: Any) -> None:
    text = (DEPLOY / "kafka" / "broker.properties").read_text()
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
    for name, value in {
        "default.replication.factor": "3",
        "min.insync.replicas": "2",
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "unclean.leader.election.enable": "false",
        "auto.create.topics.enable": "false",
    }.items():
        assert found[name] == value
    kinds = dict(one.split(":") for one in found["listener.security.protocol.map"].split(","))
    assert set(kinds.values()) == {"SASL_SSL", "SSL"}
    for listener, kind in kinds.items():
        if kind == "SSL":
            assert found[f"listener.name.{listener.lower()}.ssl.client.auth"] == "required"
    for name in OURS:
        assert services[name]["environment"]["EMBERLINE_REPLICATION_FACTOR"] == "3"
        servers = services[name]["environment"]["EMBERLINE_BOOTSTRAP_SERVERS"]
        assert servers == ",".join(f"{broker}:9092" for broker in BROKERS)


def test_a_broker_is_reached_from_outside_at_the_port_that_it_tells(services: Any) -> None:
    ports = set()
    for name in BROKERS:
        env = services[name]["environment"]
        assert env["NAME"] == name
        assert env["BROKERS"].split() == [*BROKERS]
        told = env["OUTSIDE"].rpartition(":")[2]
        (published,) = services[name]["ports"]
        assert published.split(":")[-2:] == [told, told]
        ports.add(told)
    assert len(ports) == len(BROKERS)


def test_prometheus_scrapes_the_workers_and_grafana_has_the_dashboard(services: Any) -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.production.yml").read_text())
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "emberline"
    assert job["static_configs"] == [{"targets": [f"{worker}:6066" for worker in WORKERS]}]
    assert job["metrics_path"] in {route.path for route in ROUTES}
    given = {f"/run/secrets/{one}" for one in services["prometheus"]["secrets"]}
    assert {job["tls_config"]["ca_file"], job["authorization"]["credentials_file"]} == given
    for file in config["rule_files"]:
        assert (DEPLOY / "prometheus" / file).exists()
    folder = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (one,) = yaml.safe_load((folder / "dashboards/emberline.yml").read_text())["providers"]
    targets = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{one['options']['path']}/emberline.json" in targets


def test_a_command_of_an_operator_reaches_brokers_and_workers(services: Any) -> None:
    """operator.toml, which prepare.sh writes, has the published ports."""
    text = (DEPLOY / "prepare.sh").read_text()
    brokers = re.search(r'^bootstrap_servers = "(.*)"$', text, re.MULTILINE)
    url = re.search(r'^url = "https://127\.0\.0\.1:(\d+)"$', text, re.MULTILINE)
    assert brokers
    assert url
    published = [services[name]["ports"][0].split(":")[-2] for name in BROKERS]
    assert brokers[1] == ",".join(f"127.0.0.1:{port}" for port in published)
    assert services["worker-1"]["ports"][0].endswith(f":{url[1]}:6066")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="apt-get install prometheus")
def test_promtool_accepts_the_configuration() -> None:
    file = DEPLOY / "prometheus" / "prometheus.production.yml"
    done = subprocess.run(
        ["promtool", "check", "config", "--syntax-only", file],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="apt-get install openssl")
def test_prepare_makes_every_secret_once(compose: Any, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    program = Path(sys.executable).with_name("emberline")

    def prepared() -> dict[str, bytes]:
        done = subprocess.run(
            [DEPLOY / "prepare.sh", folder],
            env={"PATH": "/usr/bin:/bin", "EMBERLINE": str(program)},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        # nobody but their readers may read them, and none is shown
        open_files = [f.name for f in folder.iterdir() if f.stat().st_mode & 0o077]
        assert open_files == ["ca.pem"] or open_files == []
        found = {file.name: file.read_bytes() for file in folder.iterdir()}
        said = (done.stdout + done.stderr).encode()
        assert not [n for n in found if n.endswith((".password", ".key")) and found[n] in said]
        return found

    first = prepared()
    assert set(compose["secrets"]) <= set(first)
    assert prepared() == first
    keys = Keys.load(folder / "keys.json")
    assert keys is not None
    metrics = keys.find(first["metrics.key"].decode().strip())
    assert metrics is not None
    assert metrics.name == "prometheus"
    assert re.fullmatch(rb"[\w-]{22}\n", first["cluster-id"])
    rights = first["rights.sh"].decode()
    users = set(re.findall(r"--allow-principal User:(\S+)", rights))
    assert users == {f"emberline{role}" for role in ("", "-topics", "-producer", "-operator")}
    assert {f"{user}.password" for user in users} <= set(first)
    settings = load(env={}, file=folder / "operator.toml")
    assert settings.api_key == first["operator.key"].decode().strip()
    assert Path(settings.kafka_sasl_password_file).exists()
    for name in (*BROKERS, *WORKERS):
        verified = subprocess.run(
            ["openssl", "verify", "-x509_strict", "-CAfile", folder / "ca.pem",
             "-verify_hostname", name, folder / f"{name}.pem"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert verified.returncode == 0, verified.stderr


def test_settings_of_the_workers_are_read(services: Any) -> None:
    settings = load(env=check_settings(services["worker-1"]["environment"]), file=Path("none"))
    assert settings.group_instance_id == "worker-1"
    assert settings.require_keys
