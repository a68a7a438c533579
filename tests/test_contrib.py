"""What is in contrib/ belongs to this program: names of metrics, keys of configurations, paths."""

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from distcache.core.decision import HIT
from distcache.core.oci import Repository, TagRef
from distcache.core.pull import Method, Pull
from distcache.metrics import Gauges, Meter, names
from distcache.settings import load
from tests.support.kubernetes import problems

CONTRIB = Path(__file__).parent.parent / "contrib"
CONFIGURATIONS = ["systemd/config.yml", "container/config.yml"]
METRIC = re.compile(r"\b(?:distcache|registry_proxy)_[a-z_]+\b")


def told() -> set[str]:
    """Every metric's name that a server which has seen everything tells."""
    gauges = Gauges(1, 1, 1, 1, 1, 1, 1, 0, 0, 0, {"docker.io": (1, 2)}, 0, 0)
    meter = Meter(lambda: gauges)
    meter.answered(Pull(Method.GET, TagRef(Repository("a", "b"), "c")), HIT, 200, 1, 0.1)
    meter.asked("docker.io", "200", 0.1)
    meter.received("docker.io", "blob", 1)
    return names(meter.collect())


def used(text: str) -> set[str]:
    return set(METRIC.findall(text))


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((CONTRIB / name).read_text()))


def test_the_dashboard_asks_for_metrics_that_there_are() -> None:
    dashboard = json.loads((CONTRIB / "grafana" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) > 10
    for query in queries:
        assert used(query)
        assert used(query) <= told(), query
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_the_alerts_ask_for_metrics_that_there_are() -> None:
    (rules,) = documents("prometheus/alerts.yml")
    for rule in rules["groups"][0]["rules"]:
        assert used(rule["expr"])
        assert used(rule["expr"]) <= told(), rule["alert"]
        assert rule["annotations"]["summary"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations_are_read_without_a_warning(name: str) -> None:
    settings = load(CONTRIB / name, {})
    assert settings.warnings == ()
    assert settings.default == "docker.io"


def test_the_cluster_s_configuration_is_read_too(tmp_path: Path) -> None:
    parts = documents("kubernetes/cache.yaml")
    (held,) = [part for part in parts if part["kind"] == "ConfigMap"]
    (tmp_path / "config.yml").write_text(held["data"]["config.yml"])
    settings = load(tmp_path / "config.yml", {})
    assert settings.warnings == ()
    (workload,) = [part for part in parts if part["kind"] == "StatefulSet"]
    container = workload["spec"]["template"]["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["registry"] == settings.port
    assert settings.debug is not None
    assert ports["debug"] == settings.debug.port
    (service,) = [part for part in parts if part["kind"] == "Service"]
    node_port = service["spec"]["ports"][0]["nodePort"]
    hosts, _ = documents("kubernetes/nodes.yaml")
    assert f"127.0.0.1:{node_port}" in hosts["data"]["write.sh"]
    listed = [line.split()[0] for line in hosts["data"]["upstreams"].splitlines()]
    assert listed == list(settings.sites)


MANIFESTS = [
    pytest.param(part, id=f"{name} {part['kind']}")
    for name in ("kubernetes/cache.yaml", "kubernetes/nodes.yaml")
    for part in documents(name)
]


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_kubernetes_takes_the_manifests_with_every_field_known(manifest: dict[str, Any]) -> None:
    assert problems(manifest) == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("spec", "replica"), 1, "$.spec: replica is no field"),
        (("spec", "replicas"), "1", "$.spec.replicas: '1' is no"),
        (("spec", "replicas"), True, "$.spec.replicas: True is no"),
        (("spec", "template"), {"spec": {}}, "$.spec.template.spec: containers is missing"),
        (
            ("spec", "template", "spec", "containers"),
            {},
            "$.spec.template.spec.containers: {} is no",
        ),
        (("metadata", "labels"), {"a": 1}, "$.metadata.labels.a: 1 is no"),
        (("apiVersion",), "apps/v2", "$: apps/v2/StatefulSet is not known here"),
    ],
)
def test_a_field_that_is_wrong_would_be_found(
    path: tuple[str, ...], value: object, said: str
) -> None:
    (workload,) = [p for p in documents("kubernetes/cache.yaml") if p["kind"] == "StatefulSet"]
    *above, last = path
    place = workload
    for name in above:
        place = place[name]
    place[last] = value
    (found,) = problems(workload)
    assert found.startswith(said)


def test_the_grace_is_longer_than_a_drain() -> None:
    settings = load(CONTRIB / "container/config.yml", {})
    (compose,) = documents("container/compose.yml")
    (service,) = compose["services"].values()
    assert int(service["stop_grace_period"].rstrip("s")) > settings.drain
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(CONTRIB / "systemd" / "distcache.service")
    assert int(unit["Service"]["TimeoutStopSec"]) > settings.drain
    assert unit["Service"]["ExecStart"].endswith("/etc/distcache/config.yml")
    assert unit["Service"]["Type"] == "notify"


def test_systemd_listens_where_the_server_would() -> None:
    settings = load(CONTRIB / "systemd/config.yml", {})
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(CONTRIB / "systemd" / "distcache.socket")
    assert unit["Socket"]["ListenStream"] == f"{settings.host}:{settings.port}"


def test_systemd_takes_the_units_as_they_are(tmp_path: Path) -> None:
    """But for where the program is."""
    for name in ("distcache.service", "distcache.socket"):
        text = (CONTRIB / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/distcache/bin/distcache", sys.executable))
    files = [str(tmp_path / name) for name in ("distcache.service", "distcache.socket")]
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, "tests/interop/install.sh installs it"
    done = subprocess.run([analyze, "verify", *files], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    # 2.0 of 10 is what systemd calls fairly well protected.
    hardened = [analyze, "security", "--offline=true", "--threshold=20", "--no-pager", files[0]]
    done = subprocess.run(hardened, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-200:]


def test_the_image_runs_as_nobody_in_particular() -> None:
    text = (CONTRIB / "container" / "Containerfile").read_text()
    assert re.search(r"^USER 10001$", text, re.M)
    (workload,) = [p for p in documents("kubernetes/cache.yaml") if p["kind"] == "StatefulSet"]
    assert workload["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 10001
