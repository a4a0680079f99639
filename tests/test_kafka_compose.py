"""What `compose.yaml` starts, and the README does with it, on a real broker without Docker."""

import contextlib
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from bandit.client import Client
from tests.readme import ROOT, lines, section, send
from tests.running import COPYLOOP, free_port, wait_until_ready

pytestmark = pytest.mark.kafka

PREFIX = "compose."
SERVICES = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
OURS = ("api", "join", "learn", "archive")
TOOLS = {
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
}


def process_of(service, broker, data, port):
    """The command that a service runs, on our broker, folder and port."""
    command = SERVICES[service]["command"]
    for there, here in {
        "copyloop ": f"{' '.join(COPYLOOP)} ",
        "kafka://kafka:9093": f"kafka://{broker.bootstrap}?prefix={PREFIX}",
        "/data": str(data),
        "0.0.0.0": "127.0.0.1",  # what containers listen on
        "8080": str(port),
        "--metrics-port 9100": "--metrics-port 0",
    }.items():
        command = command.replace(there, here)
    return shlex.split(command)


@contextlib.contextmanager
def running_services(broker, data):
    """The API, the joiner, the learner and the archive; yields the API's URL."""
    port = free_port()
    subprocess.run(process_of("topics", broker, data, port), check=True, cwd=ROOT)
    processes = []
    try:
        for service in OURS:
            with (data / f"{service}.txt").open("wb") as output:
                command = process_of(service, broker, data, port)
                processes.append(subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT))
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, processes[0])
        yield url
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(timeout=60) for process in processes]
    said = {service: Path(data, f"{service}.txt").read_text() for service in OURS}
    assert codes == [0] * len(OURS), said


def in_container(line, broker):
    """A `docker compose exec` of one of Kafka's tools, as Java runs it here."""
    java = f"java -cp '{broker.jars}/*'"
    line = re.sub(
        r"docker compose exec -T kafka /opt/kafka/bin/(\S+)",
        lambda m: f"{java} {TOOLS[m[1]]}",
        line,
    )
    return line.replace("kafka:9093", broker.bootstrap).replace("--topic ", f"--topic {PREFIX}")


def test_the_readme_gets_from_nothing_to_a_reward(kafka_broker, tmp_path):
    event_id, versions, seen = "EVENT_ID", [], ""
    with running_services(kafka_broker, tmp_path) as url:
        client = Client(url)
        for line in lines(section("With Kafka")):
            words = shlex.split(line, comments=True)
            if words[0] == "curl":
                answer = send(client, words, event_id)
                if "event_id" in answer:
                    event_id, versions = answer["event_id"], [answer["policy_version"]]
            elif "compose exec" in line:
                line = in_container(line.replace("EVENT_ID", event_id), kafka_broker)
                seen = subprocess.run(
                    ["bash", "-c", line], check=True, text=True, capture_output=True, timeout=60
                ).stdout
        deadline = time.monotonic() + 30
        while len(versions) < 3 and time.monotonic() < deadline:
            version = client.request("GET", "/v1/placements/home/policy")["version"]
            if version not in versions:
                versions.append(version)
            time.sleep(0.02)
            if version.endswith("@2"):
                break
        client.close()
    statuses = re.findall(r'"reward":([\d.]+),"status":"(\w+)"', seen)
    assert statuses == [("0.0", "provisional"), ("1.0", "corrected")]
    assert event_id in seen
    assert versions[-1].endswith("@2")


def test_compose_runs_every_process_on_its_topics_and_one_broker_version():
    from tests.kafka_broker import KAFKA

    assert SERVICES["kafka"]["image"].endswith(f":{KAFKA}")
    after_topics = {"topics": {"condition": "service_completed_successfully"}}
    for name in (*OURS, "generator", "ingest"):
        assert SERVICES[name]["depends_on"] == after_topics, name
        words = SERVICES[name]["command"].split()
        options = {word for word in words if word.startswith("--")}
        helped = subprocess.run(
            [*COPYLOOP, *words[1 : words.index("--log")], "--help"],
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        ).stdout
        assert {option for option in options if option not in helped} == set(), name
