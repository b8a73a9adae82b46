"""What stands in deploy/ agrees with the program: its settings, its port, its probes, and the time that it takes to stop."""

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from clarion import telemetry
from clarion.settings import Settings
from clarion.settings.whole import fields
from tests.support.balancers import balancing
from tests.support.server import Server, free_port, running

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
LIMITS = Settings().limits
STOPPING_S = LIMITS.notice_s + LIMITS.drain_s + 15


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]


def kubernetes(kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes/clarion.yaml").read_text())
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


def dockerfile() -> list[tuple[str, str]]:
    """Its instructions, one after another."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return [(word, rest) for word, rest in (line.split(None, 1) for line in lines)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_names_only_settings_that_there_are(path):
    known = {field.env for field in fields()}
    named = set(re.findall(r"\bCLARION_[A-Z_]+\b", path.read_text()))
    assert named <= known


def test_image_is_built_from_what_is_there():
    copied = [shlex.split(rest) for word, rest in dockerfile() if word == "COPY"]
    sources = [source for words in copied if words[0][:6] != "--from" for source in words[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert [source for source in sources if f"!{source}" not in ignored] == []


def test_image_is_run_by_nobody():
    last = dockerfile()[-12:]
    assert ("USER", "10001:10001") in last


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with running(tmp_path_factory.mktemp("server"), CLARION_LOG_JSON="true") as server:
        yield server


def test_every_line_it_says_is_json(server: Server):
    """As the image is set: who collects lines can read each of them, and is told what serves where."""
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    (serving,) = (line for line in lines if line["event"] == "serving")
    assert serving["port"] == server.port


def test_health_check_tells_a_server_from_none(server: Server):
    (check,) = (rest for word, rest in dockerfile() if word == "HEALTHCHECK")
    command = ast.literal_eval(check.partition("CMD ")[2])
    assert command.pop(0) == "python"

    def status(port: int) -> int:
        environment = {"CLARION_PORT": str(port)}
        ended = subprocess.run([sys.executable, *command], env=environment, stderr=subprocess.DEVNULL, check=False)  # fmt: skip
        return ended.returncode

    assert status(server.port) == 0
    assert status(1) != 0


def test_everybody_waits_for_a_node_to_drain():
    pod = kubernetes("Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= STOPPING_S
    assert float(compose()["clarion"]["stop_grace_period"].rstrip("s")) >= STOPPING_S
    unit = (DEPLOY / "clarion.service").read_text()
    assert float(re.search(r"TimeoutStopSec=(\d+)s", unit)[1]) >= STOPPING_S


def test_balancers_look_elsewhere_within_the_notice():
    """Where they ask, a node that goes is found; nginx does not, and has no connection left to it by then."""
    (node,) = kubernetes("Deployment")["spec"]["template"]["spec"]["containers"]
    probe = node["readinessProbe"]
    times = [probe["periodSeconds"] * probe["failureThreshold"]]
    for name, said in {
        "Caddyfile": ["health_interval"],
        "haproxy.cfg": ["check inter"],
        "nginx.conf": ["keepalive_timeout", "fail_timeout="],
    }.items():
        text = (DEPLOY / "proxies" / name).read_text()
        times += [int(re.search(rf"{each} ?(\d+)s", text)[1]) for each in said]
    assert max(times) < LIMITS.notice_s - 1


def test_probes_ask_for_what_is_served(server: Server):
    (node,) = kubernetes("Deployment")["spec"]["template"]["spec"]["containers"]
    (port,) = node["ports"]
    probes = {name: node[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}  # fmt: skip
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    for probe in probes.values():
        assert server.get(probe["path"]).status_code == 200
    # What is down for all nodes must not restart all nodes.
    assert probes["liveness"]["path"] == "/livez"
    image = dict(pair.split("=", 1) for word, rest in dockerfile() if word == "ENV" for pair in shlex.split(rest))  # fmt: skip
    assert int(image["CLARION_PORT"]) == port["containerPort"]


def test_service_and_budget_mean_the_nodes():
    labels = kubernetes("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert kubernetes("Service")["spec"]["selector"].items() <= labels.items()
    assert kubernetes("PodDisruptionBudget")["spec"]["selector"]["matchLabels"].items() <= labels.items()  # fmt: skip
    (path,) = kubernetes("Ingress")["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"]["name"] == kubernetes("Service")["metadata"]["name"]


def test_compose_keeps_what_redis_and_the_database_hold():
    services = compose()
    assert "noeviction" in services["redis"]["command"]
    assert services["redis"]["volumes"]
    assert services["postgres"]["volumes"]
    assert services["clarion"]["deploy"]["replicas"] == 2
    waits = services["clarion"]["depends_on"]
    assert all(services[name]["healthcheck"] for name in waits)


def test_unit_is_one_for_systemd():
    ended = subprocess.run(["systemd-analyze", "verify", str(DEPLOY / "clarion.service")], capture_output=True, text=True, check=False)  # fmt: skip
    said = [line for line in ended.stderr.splitlines() if "is not executable" not in line]
    assert said == []


def test_alerts_look_at_what_is_measured(server: Server):
    """Each name in an alert is a metric that a server shows, each label one that it has."""
    labels = {}
    for metric in telemetry.REGISTRY.collect():
        suffix = {"counter": "_total", "histogram": "_bucket"}.get(metric.type, "")
        labels[metric.name + suffix] = {"instance", "le"}
    for metric, names in telemetry.REGISTRY._collector_to_names.items():
        for name in names:
            labels.setdefault(name, {"instance"}).update(getattr(metric, "_labelnames", ()))
    (group,) = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text())["groups"]
    for rule in group["rules"]:
        looked_at = set(re.findall(r"\b(?:clarion|process)_\w+", rule["expr"]))
        assert looked_at <= labels.keys(), rule["alert"]
        has = {"instance", "job"}.union(*(labels[name] for name in looked_at))
        named = re.findall(r"by \(([\w, ]+)\)", rule["expr"])
        asked = {label.strip() for each in named for label in each.split(",")}
        asked |= set(re.findall(r"(\w+)=~?\"", rule["expr"]))
        asked |= set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert asked <= has, rule["alert"]
    text = server.get("/metrics", token=server.key("metrics:read")).text
    assert "clarion_ready 1.0" in text
    assert "process_open_fds" in text


def test_nginx_asks_until_a_node_answers(server: Server, tmp_path: Path):
    """However many of those it knows are away: fewer nodes than it has lines for, and one that is being restarted."""
    away = [free_port() for _ in range(3)]
    with balancing(tmp_path, "nginx", [*away, server.port]) as port:
        answers = [httpx.get(f"http://127.0.0.1:{port}/livez").status_code for _ in range(4)]
    assert answers == [200] * 4
