"""What operators are given fits the image, the settings and each other, and is well formed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

import app
from app.config import Settings
from app.tools.listen.ears import EARS
from tests.checkers import check, check_schema, load_yaml
from tests.conftest import Serve
from tests.service import ROOT, browse
from tests.test_container import DOCKERFILE, final_stage
from tests.test_docs import DOCS, blocks, commands, read

pytestmark = [pytest.mark.no_cover, pytest.mark.slow]  # what it tries is no part of this process

PAGE = DOCS / "deployment.md"
COMPOSE = ROOT / "compose.yaml"
REPLICAS = DOCS / "deploy" / "replicas"
MANIFEST = DOCS / "deploy" / "kubernetes.yaml"
OLDEST_KUBERNETES = "1.30"

DRAIN_SECONDS = Settings.model_fields["drain_seconds"].default if "drain_seconds" in Settings.model_fields else 20


def resources() -> dict[str, Any]:
    """The manifest's documents by their kind."""
    documents = list(yaml.safe_load_all(read(MANIFEST)))
    by_kind = {document["kind"]: document for document in documents}
    assert len(by_kind) == len(documents)
    return by_kind


def pod() -> Any:
    return resources()["Deployment"]["spec"]["template"]["spec"]


def container() -> Any:
    (only,) = pod()["containers"]
    return only


def compose() -> Any:
    return load_yaml(COMPOSE)["services"]["realtime-rag"]


def options() -> dict[str, list[str]]:
    """The options of the documented `docker run --detach`, with their values."""
    (command,) = (each for each in commands() if each[:3] == ["docker", "run", "--detach"])
    found: dict[str, list[str]] = {}
    for word in command[2:-1]:
        if word.startswith("-"):
            found.setdefault(name := word, [])
        else:
            found[name].append(word)
    return found


def seconds(text: str) -> int:
    number = re.fullmatch(r"(\d+)s?", text)
    assert number, text
    return int(number[1])


# Kubernetes


@pytest.mark.parametrize("version", [[], ["--kubernetes-version", OLDEST_KUBERNETES]], ids=["newest", "oldest"])
def test_kubernetes_would_take_the_manifest(version: list[str]) -> None:
    check("kubernetes-validate", "--strict", *version, MANIFEST)


def test_the_oldest_kubernetes_is_named() -> None:
    assert f"Kubernetes {OLDEST_KUBERNETES} and later" in read(MANIFEST)
    assert f"Kubernetes {OLDEST_KUBERNETES} and later" in read(PAGE)


def test_every_resource_is_found_by_the_same_name_and_labels() -> None:
    labels = {"app.kubernetes.io/name": "realtime-rag"}
    assert all(each["metadata"] == {"name": "realtime-rag", "labels": labels} for each in resources().values())
    deployment = resources()["Deployment"]["spec"]
    assert deployment["template"]["metadata"]["labels"] == labels
    assert deployment["selector"]["matchLabels"] == labels
    assert resources()["Service"]["spec"]["selector"] == labels
    assert resources()["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    (spread,) = pod()["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    target = resources()["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "realtime-rag"}


def test_the_pod_runs_this_image_as_its_user_at_its_port() -> None:
    assert container()["image"] == f"realtime-rag:{app.__version__}"
    user, group = map(int, final_stage()["USER"].split(":"))
    context = pod()["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["runAsNonRoot"]) == (user, group, True)
    (port,) = container()["ports"]
    assert port == {"name": "http", "containerPort": int(final_stage()["EXPOSE"])}
    (served,) = resources()["Service"]["spec"]["ports"]
    assert served["targetPort"] == port["name"]
    assert {"command", "args", "env"}.isdisjoint(container())


def test_the_pod_has_the_least_rights() -> None:
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False
    assert pod()["enableServiceLinks"] is False
    assert "memory" in container()["resources"]["limits"]


async def test_probes_ask_pages_that_are_there(start: Serve) -> None:
    service = await start()
    probes = {name: container()[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startupProbe": "/health",
        "livenessProbe": "/health",
        "readinessProbe": "/health/ready",
    }
    async with browse(service.http_url) as http:
        for probe in probes.values():
            assert (await http.get(probe["path"])).status_code == 200


def test_the_pod_has_time_to_leave() -> None:
    sleep = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] > sleep + DRAIN_SECONDS
    assert f"waits {sleep} seconds" in read(PAGE)


def test_kubernetes_would_take_the_pod_of_the_operations_page_which_has_time_to_leave(tmp_path: Path) -> None:
    (block,) = blocks("yaml", DOCS / "operations.md")
    shown = yaml.safe_load(block)["spec"]
    shown["containers"][0]["image"] = container()["image"]
    manifest = tmp_path / "pod.yaml"
    manifest.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": shown}))
    check("kubernetes-validate", "--strict", "--kubernetes-version", OLDEST_KUBERNETES, manifest)
    sleep = shown["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert shown["terminationGracePeriodSeconds"] >= sleep + DRAIN_SECONDS + 10


def test_the_config_map_holds_settings_and_the_secret_is_made_apart() -> None:
    data = resources()["ConfigMap"]["data"]
    Settings(_env_file=None, **{name.lower(): value for name, value in data.items()})
    assert {name.lower() for name in data} <= set(Settings.model_fields)
    assert container()["envFrom"] == [
        {"configMapRef": {"name": "realtime-rag"}},
        {"secretRef": {"name": "realtime-rag"}},
    ]
    (secret,) = (each for each in commands() if each[:3] == ["kubectl", "create", "secret"])
    assert secret[3:] == ["generic", "realtime-rag", "--from-env-file=secret.env"]
    assert [block.partition("=")[0] for block in blocks("ini", PAGE)] == ["DIFY_API_KEY"]


def test_the_autoscaler_decides_alone_and_reads_a_metric_that_the_rule_publishes() -> None:
    assert "replicas" not in resources()["Deployment"]["spec"]
    scaler = resources()["HorizontalPodAutoscaler"]["spec"]
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    (metric,) = scaler["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name == "realtime_rag_sessions_open"
    (block,) = blocks("yaml", PAGE)
    (rule,) = yaml.safe_load(block)["rules"]
    assert rule["seriesQuery"].startswith(f"{name}{{")
    assert f"`{name}`" in read(PAGE)


# Docker


def test_compose_would_take_the_file() -> None:
    check_schema("vendor.compose-spec", COMPOSE)


def test_compose_builds_this_image_and_gives_it_what_the_run_command_gives() -> None:
    service, run = compose(), options()
    assert service["build"] == "."
    assert DOCKERFILE == ROOT / "Dockerfile"
    assert service["image"] == "realtime-rag"
    assert service["read_only"] is True
    assert "--read-only" in run
    assert service["cap_drop"] == run["--cap-drop"] == ["ALL"]
    assert service["security_opt"] == [f"{option}:true" for option in run["--security-opt"]]
    assert [service["mem_limit"]] == run["--memory"]
    assert [str(service["pids_limit"])] == run["--pids-limit"]
    assert ["nofile={0}:{0}".format(service["ulimits"]["nofile"])] == run["--ulimit"]
    assert [service["logging"]["driver"]] == run["--log-driver"]
    assert [service["restart"]] == run["--restart"]
    assert [service["env_file"]] == run["--env-file"] == [".env"]
    assert service["ports"] == run["--publish"]
    assert [f"{name}={value}" for name, value in service["environment"].items()] == run["--env"]


def test_compose_brings_a_recogniser_only_to_whom_asks_for_it() -> None:
    others = {name: each for name, each in load_yaml(COMPOSE)["services"].items() if name != "realtime-rag"}
    assert {name: each["profiles"] for name, each in others.items()} == {"vosk": ["ears"]}
    port = urlsplit(EARS["vosk"].url).port
    assert others["vosk"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert (others["vosk"]["cap_drop"], others["vosk"]["security_opt"]) == (["ALL"], ["no-new-privileges:true"])


def test_compose_would_take_two_replicas_that_are_as_the_one() -> None:
    check_schema("vendor.compose-spec", REPLICAS / "compose.yaml")
    services = yaml.safe_load((REPLICAS / "compose.yaml").read_text(encoding="utf-8"))["services"]
    one = {name: value for name, value in compose().items() if name not in {"ports", "logging", "environment"}}
    for name in ("one", "two"):
        assert one.items() <= services[name].items()
        assert compose()["environment"].items() <= services[name]["environment"].items()
        Settings(_env_file=None, redis_url=services[name]["environment"]["REDIS_URL"])
    upstreams = re.findall(r"server (\w+):(\d+)", (REPLICAS / "nginx.conf").read_text(encoding="utf-8"))
    assert upstreams == [("one", "8000"), ("two", "8000")]
    assert services["balancer"]["volumes"] == ["./docs/deploy/replicas/nginx.conf:/etc/nginx/nginx.conf:ro"]
    assert (ROOT / "docs/deploy/replicas/nginx.conf").is_file()


def test_containers_have_time_to_leave() -> None:
    (timeout,) = options()["--stop-timeout"]
    assert seconds(timeout) == seconds(compose()["stop_grace_period"]) > DRAIN_SECONDS


def test_the_port_inside_is_the_one_of_the_image() -> None:
    assert compose()["ports"] == [f"127.0.0.1:{final_stage()['EXPOSE']}:{final_stage()['EXPOSE']}"]
    assert compose()["environment"]["PORT"] == final_stage()["EXPOSE"]
    assert compose()["environment"]["HOST"] == "0.0.0.0"


# The page


def test_every_option_of_the_run_command_is_explained() -> None:
    table = "\n".join(re.findall(r"^\| (`--.*?) \|", read(PAGE), re.MULTILINE))
    plain = {"--detach", "--name", "--restart", "--env-file"}
    assert {option for option in options() if f"`{option}" not in table} == plain


def test_the_time_to_drain_is_told_as_it_is() -> None:
    assert set(re.findall(r"`DRAIN_SECONDS` \((\d+)\)", read(PAGE))) == {str(DRAIN_SECONDS)}


def test_files_that_commands_name_are_there() -> None:
    applied = [Path(word) for each in commands() if each[:2] == ["kubectl", "apply"] for word in each if "/" in word]
    assert [ROOT / path for path in applied] == [MANIFEST]
    assert f"kubectl apply -f {MANIFEST.relative_to(ROOT).as_posix()}" in read(MANIFEST)
