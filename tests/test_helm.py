"""The chart for Kubernetes, rendered by Helm and held to the API's own schemas."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from generator.commands.main import app
from tests.readme import ROOT

CHART = ROOT / "deploy" / "helm" / "copyloop"
VERSIONS = ("1.27", "1.37")
KAFKA = ["kafka.bootstrap=kafka:9092", "kafka.options=prefix=ads."]
ALL = [
    *KAFKA,
    *("generator.enabled=true", "generator.image=ours:2", "api.autoscaling.enabled=true"),
    *("ingress.enabled=true", "ingress.className=nginx", "ingress.tlsSecret=tls"),
    *("existingSecret=secrets", "env.COPYLOOP_RATE_PER_SECOND=100", "openToNetwork=true"),
    *("persistence.storageClass=nfs", "nodeSelector.disk=fast", "podAnnotations.a=b"),
]
FORMS = {
    "sqlite": [],
    "sqlite, with a generator": ["generator.enabled=true", "dashboard.enabled=false"],
    "kafka": KAFKA,
    "kafka, by a secret": ["kafka.urlSecret.name=log", "kafka.createTopics=false"],
    "all": ALL,
}


@pytest.fixture(scope="module")
def helm():
    found = shutil.which("helm", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        pytest.skip("helm is not installed; make helm builds it, where there is Go")
    return found


def rendered(helm, settings):
    options = [word for setting in settings for word in ("--set", setting)]
    done = subprocess.run(
        [helm, "template", "ads", CHART, *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def containers(documents):
    for document in documents:
        pod = document["spec"].get("template", {}).get("spec", {})
        yield from pod.get("initContainers", ())
        yield from pod.get("containers", ())


@pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_rendered_is_what_kubernetes_takes(helm, settings, version):
    documents = rendered(helm, settings)
    assert len(documents) > 3
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("settings", FORMS.values(), ids=FORMS)
def test_every_command_is_one_of_ours_with_its_options(helm, settings):
    seen = set()
    for container in containers(rendered(helm, settings)):
        name, *words = container["command"]
        if name != "copyloop":
            continue
        command = get_command(app)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        assert {word.partition("=")[0] for word in words} <= known
        seen.add(command.name)
    assert seen >= ({"up"} if "kafka" not in str(settings) else {"serve", "join", "learn"})


def test_each_process_of_the_kafka_form_has_its_pods_and_one_log(helm):
    documents = rendered(helm, ALL)
    named = {each["metadata"]["name"] for each in documents if each["kind"] == "Deployment"}
    processes = ("api", "join", "learn", "archive", "generator", "dashboard")
    assert named == {f"ads-copyloop-{process}" for process in processes}
    logs = {
        variable["value"]
        for container in containers(documents)
        for variable in container["env"]
        if variable["name"] == "COPYLOOP_LOG"
    }
    assert logs == {"kafka://kafka:9092?prefix=ads."}


def test_without_the_network_open_the_first_start_makes_a_key(helm):
    (pod,) = (each for each in rendered(helm, []) if each["kind"] == "StatefulSet")
    (first,) = pod["spec"]["template"]["spec"]["initContainers"]
    assert "copyloop keys create" in first["command"][-1]
    opened = rendered(helm, ["openToNetwork=true"])
    assert not any("initContainers" in str(each) for each in opened)
