"""A real Kafka broker without Docker: for the tests, the benchmarks, and `make kafka`.

Maven fetches the broker's jars once; each broker lives in its own folder, on free ports, and
never outlives the process that started it.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KAFKA = "4.1.1"
LOG4J = "2.25.3"
JARS = Path.home() / ".cache" / "copyloop" / f"kafka-{KAFKA}"
JAVA_VERSION = 17
START_SECONDS = 90.0
CLUSTER = "Y29weWxvb3AtdGVzdHMtMQ"
USER, PASSWORD = "copyloop", "copyloop-secret"
# Below the ports that the kernel hands out: a client that keeps trying to reach a stopped broker
# on one of those can end up connected to itself, and so take the broker's place.
PORTS = range(20_000, 32_000)
JVM = ("-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

POM = """\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>copyloop</groupId><artifactId>broker</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies>{dependencies}</dependencies>
</project>
"""
DEPENDENCY = (
    "<dependency><groupId>{0}</groupId><artifactId>{1}</artifactId><version>{2}</version>"
    "<exclusions>{3}</exclusions></dependency>"
)
ALONE = "<exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>"
COORDINATES = (
    ("org.apache.kafka", "kafka_2.13", KAFKA, ""),
    ("org.apache.kafka", "kafka-tools", KAFKA, ALONE),
    *(
        ("org.apache.logging.log4j", name, LOG4J, "")
        for name in ("log4j-api", "log4j-core", "log4j-slf4j-impl", "log4j-1.2-api")
    ),
)

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},\
CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_PLAINTEXT://127.0.0.1:{sasl},\
CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,\
SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
allow.everyone.if.no.acl.found=true
log.dirs={data}
auto.create.topics.enable=true
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=200
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=16777216
"""
LOG4J_PROPERTIES = """\
rootLogger.level = WARN
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %m (%c)%n
"""


class BrokerError(RuntimeError):
    """The broker cannot be had; the message says what to install or where to look."""


class Broker:
    """One broker in one folder; started, killed and started again on the same data and ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jars = resolve_jars()
        ports = free_ports(3)
        self.bootstrap = f"127.0.0.1:{ports[0]}"
        self.sasl_bootstrap = f"127.0.0.1:{ports[1]}"
        self._process: subprocess.Popen[bytes] | None = None
        self._properties = folder / "server.properties"
        self._log4j = folder / "log4j2.properties"
        self._log4j.write_text(LOG4J_PROPERTIES)
        self._properties.write_text(
            PROPERTIES.format(
                port=ports[0],
                sasl=ports[1],
                controller=ports[2],
                data=folder / "data",
                user=USER,
                password=PASSWORD,
            )
        )
        self.java(
            *("kafka.tools.StorageTool", "format", "--standalone", "-t", CLUSTER),
            *("-c", str(self._properties)),
        )

    def java(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs one of Kafka's own tools to its end, and returns what it printed."""
        done = subprocess.run(
            [*self._java(), *arguments], input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BrokerError(f"{arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def start(self) -> None:
        """Starts the broker and waits until it answers."""
        with (self.folder / "broker.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*dying_with_us(), *self._java(), "kafka.Kafka", str(self._properties)],
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                tail = (self.folder / "broker.log").read_text()[-3000:]
                raise BrokerError(f"the Kafka broker did not come up:\n{tail}")
            time.sleep(0.1)

    def kill(self) -> None:
        """Ends the broker at once, as a power cut would (kill -9)."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def suspend(self) -> None:
        """Has it hang: connections stand, but nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Has it go on where it was suspended."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _java(self) -> list[str]:
        settings = f"-Dlog4j2.configurationFile={self._log4j}"
        return ["java", *JVM, settings, "-cp", f"{self.jars}/*"]

    def _answers(self) -> bool:
        # The broker's whole answer to the first question that every client asks (ApiVersions).
        question = b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x08copyloop"
        host, port = self.bootstrap.split(":")
        try:
            with socket.create_connection((host, int(port)), timeout=1.0) as connection:
                connection.sendall(len(question).to_bytes(4) + question)
                return bool(connection.recv(4))
        except OSError:
            return False


@contextmanager
def running_broker() -> Iterator[Broker]:
    """Runs a broker in a folder of its own, which goes with it."""
    with tempfile.TemporaryDirectory(prefix="copyloop-kafka-") as folder:
        broker = Broker(Path(folder))
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()


def resolve_jars() -> Path:
    """Returns the folder with the broker's jars; fetches them by their coordinates once."""
    check_java()
    if JARS.is_dir():
        return JARS
    if shutil.which("mvn") is None:
        raise BrokerError("Maven fetches the Kafka broker: install it (Debian: apt install maven)")
    JARS.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=JARS.parent, prefix="fetching-") as work:
        pom, jars = Path(work, "pom.xml"), Path(work, "jars")
        pom.write_text(POM.format(dependencies="".join(DEPENDENCY.format(*c) for c in COORDINATES)))
        command = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
        done = subprocess.run(
            [*command, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BrokerError(f"Maven could not fetch Kafka {KAFKA}:\n{done.stdout[-2000:]}")
        # In one step, so that whoever finds the folder finds all of it.
        try:
            jars.rename(JARS)
        except OSError:
            if not JARS.is_dir():
                raise
    return JARS


def check_java() -> None:
    """Refuses a machine whose Java is missing or too old for the broker."""
    install = f"install Java {JAVA_VERSION} or newer (Debian: apt install default-jre-headless)"
    if shutil.which("java") is None:
        raise BrokerError(f"the Kafka broker runs on Java: {install}")
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < JAVA_VERSION:
        raise BrokerError(f"this Java is too old for the Kafka broker; {install}:\n{told}")


def dying_with_us() -> list[str]:
    """Returns the command before a command that has the kernel kill it when we die."""
    return ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []


def free_ports(count: int) -> list[int]:
    """Returns ports that nobody listens on now."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise BrokerError("no free port between 20000 and 32000")


def main() -> None:
    """Runs a broker for developers until Ctrl-C."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        with running_broker() as broker:
            sys.stdout.write(
                f"Kafka {KAFKA} answers; the log's URL is kafka://{broker.bootstrap}\n"
            )
            sys.stdout.write(f"with a login (PLAIN, {USER}): {broker.sasl_bootstrap}\n")
            sys.stdout.write("Ctrl-C ends it, and its data with it\n")
            sys.stdout.flush()
            signal.pause()
    except KeyboardInterrupt:
        sys.exit(0)
    except BrokerError as error:
        sys.exit(f"kafka: {error}")


if __name__ == "__main__":
    main()
