"""The manifests for Kubernetes: valid by its published schemas, and fit for the program."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from agents.http.own_address import host_told
from agents.web.server import ROUTES
from streams.settings import load
from tests.rigs.deployment import DEPLOY, check_settings, has_command

FOLDER = DEPLOY / "kubernetes"
VERSIONS = ("1.31", "1.34", "1.37")
NAMESPACE = "emberline"
KUSTOMIZATION: Any = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
FILES = [file for file in sorted(FOLDER.glob("*.yaml")) if file.name != "kustomization.yaml"]
OBJECTS: list[Any] = [one for file in FILES for one in yaml.safe_load_all(file.read_text())]


def the(kind: str, name: str = "emberline") -> Any:
    (found,) = [o for o in OBJECTS if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return found


def pods() -> dict[str, Any]:
    return {kind: the(kind, name)["spec"]["template"] for kind, name in PODS}


PODS = (("StatefulSet", "emberline"), ("Job", "emberline-topics"))


def environment(template: Any) -> dict[str, str]:
    """What the container's program gets: the settings that all share, then its own."""
    (container,) = template["spec"]["containers"]
    (shared,) = container["envFrom"]
    found = dict(the("ConfigMap", shared["configMapRef"]["name"])["data"])
    for one in container.get("env", ()):
        value = one.get("value") or "emberline-0"
        found[one["name"]] = value.replace("$(POD_NAME)", found.get("POD_NAME", ""))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_what_the_schemas_of_kubernetes_allow(version: str) -> None:
    for one in OBJECTS:
        kubernetes_validate.validate(one, version, strict=True)


def test_the_schemas_are_compared_with() -> None:
    wrong = the("StatefulSet") | {"spec": {**the("StatefulSet")["spec"], "replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_kustomization_has_all_but_the_example_of_secrets() -> None:
    names = {file.name for file in FILES} - {"secret.example.yaml"}
    assert set(KUSTOMIZATION["resources"]) == names
    assert KUSTOMIZATION["namespace"] == NAMESPACE
    for one in OBJECTS:
        assert one["metadata"].get("namespace", NAMESPACE) == NAMESPACE
    (image,) = KUSTOMIZATION["images"]
    for template in pods().values():
        assert template["spec"]["containers"][0]["image"] == image["name"]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is missing")
def test_kubectl_renders_the_kustomization() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    rendered = list(yaml.safe_load_all(done.stdout))
    assert len(rendered) == len(OBJECTS) - 3  # the secrets
    images = re.findall(r"image: (\S+)", done.stdout)
    assert images == ["registry.example/emberline:replace-me"] * 2


@pytest.mark.parametrize("kind", [kind for kind, _ in PODS])
def test_settings_and_commands_are_those_of_the_program(kind: str) -> None:
    template = pods()[kind]
    (container,) = template["spec"]["containers"]
    given = environment(template)
    given.pop("POD_NAME", None)
    check_settings(given)
    assert has_command(container["args"])
    assert not [n for n in given if re.search("PASSWORD$|SECRET$|TOKEN$|API_KEY$", n)]


def test_a_worker_tells_others_the_name_of_its_pod() -> None:
    workers = the("StatefulSet")
    given = environment(workers["spec"]["template"])
    given.pop("POD_NAME")
    settings = load(env=given, file=Path("none"))
    assert settings.group_instance_id == "emberline-0"
    service = the("Service", workers["spec"]["serviceName"])
    assert service["spec"]["clusterIP"] == "None"
    # a worker that recovers must be reached by the others
    assert service["spec"]["publishNotReadyAddresses"] is True
    name = service["metadata"]["name"]
    assert host_told(settings) == f"emberline-0.{name}.{NAMESPACE}.svc.cluster.local"
    assert settings.advertised_url.endswith(f":{settings.http_port}")


def test_ports_agree() -> None:
    port = int(the("ConfigMap")["data"]["EMBERLINE_HTTP_PORT"])
    (container,) = the("StatefulSet")["spec"]["template"]["spec"]["containers"]
    (named,) = container["ports"]
    assert named["containerPort"] == port
    for service in ("emberline", "emberline-http"):
        (offered,) = the("Service", service)["spec"]["ports"]
        assert (offered["port"], offered["targetPort"]) == (port, named["name"])
    policy = the("NetworkPolicy")["spec"]
    assert [one["port"] for one in policy["ingress"][0]["ports"]] == [port]
    brokers = the("ConfigMap")["data"]["EMBERLINE_BOOTSTRAP_SERVERS"]
    assert {int(one.rpartition(":")[2]) for one in brokers.split(",")} == {9092}
    for name in ("emberline", "emberline-topics"):
        egress = the("NetworkPolicy", name)["spec"]["egress"]
        assert 9092 in {one["port"] for rule in egress for one in rule["ports"]}


def test_probes_ask_routes_that_need_no_key() -> None:
    routes = {route.path: route for route in ROUTES}
    (container,) = the("StatefulSet")["spec"]["template"]["spec"]["containers"]
    probes = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    for probe, path in probes.items():
        asked = container[probe]["httpGet"]
        assert asked == {"path": path, "port": "https", "scheme": "HTTPS"}
        assert routes[path].scope is None
    assert "EMBERLINE_HTTP_CERTIFICATE_FILE" in environment(the("StatefulSet")["spec"]["template"])


@pytest.mark.parametrize("kind", [kind for kind, _ in PODS])
def test_pods_have_no_rights_and_a_read_only_file_system(kind: str) -> None:
    spec = pods()[kind]["spec"]
    assert spec["automountServiceAccountToken"] is False
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["fsGroup"] == 10001
    assert "USER 10001:10001" in (DEPLOY.parent / "Dockerfile").read_text()
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("kind", [kind for kind, _ in PODS])
def test_files_of_settings_are_mounted_from_secrets_that_have_them(kind: str) -> None:
    template = pods()[kind]
    (container,) = template["spec"]["containers"]
    secrets = {one["metadata"]["name"]: set(one["stringData"]) for one in OBJECTS
               if one["kind"] == "Secret"}  # fmt: skip
    volumes = {one["name"]: one["secret"] for one in template["spec"]["volumes"]}
    files = set()
    for mount in container["volumeMounts"]:
        secret = volumes.get(mount["name"])
        if secret is None:
            continue
        # a private key that everybody may read is refused
        assert secret["defaultMode"] == 0o440
        assert mount["readOnly"] is True
        has = secrets[secret["secretName"]]
        chosen = {one["key"] for one in secret.get("items", ())} or has
        assert chosen <= has
        files |= {f"{mount['mountPath']}/{name}" for name in chosen}
    needs_http = kind == "StatefulSet"
    for name, value in environment(template).items():
        http = name.startswith(("EMBERLINE_HTTP", "EMBERLINE_KEYS", "EMBERLINE_ERASURE"))
        if value.startswith("/etc/") and (needs_http or not http):
            assert value in files, name


def test_every_worker_has_a_volume_for_its_data() -> None:
    spec = the("StatefulSet")["spec"]
    (claim,) = spec["volumeClaimTemplates"]
    (container,) = spec["template"]["spec"]["containers"]
    mounts = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    data = environment(spec["template"])["EMBERLINE_DATA_DIR"]
    assert Path(data).parent == Path(mounts[claim["metadata"]["name"]])


def test_selectors_select_the_workers() -> None:
    labels = the("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        the("StatefulSet")["spec"]["selector"]["matchLabels"],
        the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        the("Service")["spec"]["selector"],
        the("Service", "emberline-http")["spec"]["selector"],
    ):
        assert selector == labels
    jobs = the("Job", "emberline-topics")["spec"]["template"]["metadata"]["labels"]
    assert jobs != labels
    assert the("NetworkPolicy", "emberline-topics")["spec"]["podSelector"]["matchLabels"] == jobs
    assert the("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
