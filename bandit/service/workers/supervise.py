"""Starts the processes of one machine, keeps them running, and stops them in order.

They share nothing but the log, and lose nothing when they die; so all that is left to do is to
start again what died, to tell a wrong setting from a crash, and to leave no one behind.
"""

from __future__ import annotations

import ctypes
import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TextIO

from bandit.errors import SettingError
from bandit.service.settings import Settings
from streams.process import Form, module_command, stop_on_signals
from streams.readiness import ReadyPipe, nobody, ready_teller
from streams.restarts import note_death

logger = logging.getLogger(__name__)

TICK_SECONDS: Final = 0.1
BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 10.0
PROVEN_SECONDS: Final = 10.0
"""Who ran this long did not die young, and was ready, unless it tells so itself."""
GRACE_SECONDS: Final = 10.0
"""How long a process may take to stop before it is killed."""
BAD_SETTING: Final = 2
"""The exit code by which a process says that starting it again will not help."""
_PR_SET_PDEATHSIG: Final = 1


class ProcessSpec(NamedTuple):
    """One process to run.

    Attributes:
        name: what its lines get.
        argv: its command line.
        tells: whether it says itself when it is ready (see `streams.readiness`).
    """

    name: str
    argv: Sequence[str]
    tells: bool = False


def up(
    processes: Sequence[ProcessSpec],
    *,
    stop: threading.Event,
    output: TextIO | None = None,
    first: int = 1,
    grace_seconds: float | None = None,
    prefixed: bool = True,
    ready: Callable[[], None] = nobody,
    deaths: Path | None = None,
) -> int:
    """Runs the processes until `stop` is set; returns the exit code for the whole.

    One that dies is started again, after 0.5 s at first and up to 10 s when it keeps dying. One
    that exits with code 2 before it was ever ready has a wrong setting, or its port is taken,
    however long its start took: then all are stopped, and 2 is returned. On `stop`, the first of
    them are asked to end before the others (an API, say, that still answers what it has begun),
    and 0 is returned.

    If this process itself is killed, the kernel kills its children (Linux only). Call it from a
    thread that lives as long as it runs: the kernel watches the thread, not the process.

    Args:
        processes: what to run.
        stop: set, by a signal handler or another thread, to end.
        output: where the processes' lines go; stderr if None.
        first: how many of the processes, from the first on, are stopped before the others.
        grace_seconds: how long those who are asked to end may take before they are killed; 10
            if None.
        prefixed: each line with the name before it; lines that programs read stay as they are.
        ready: called once all processes have been ready.
        deaths: the file where it notes which processes die, and when (see `streams.restarts`).

    Raises:
        SettingError: a command cannot be started at all.
    """
    if deaths is not None:
        deaths.unlink(missing_ok=True)
    width = max((len(spec.name) for spec in processes), default=0)
    children = [
        _Child(spec, f"{spec.name:<{width}} | " if prefixed else "", output or sys.stderr)
        for spec in processes
    ]
    try:
        return _run(children, stop, ready, deaths)
    finally:
        grace_seconds = GRACE_SECONDS if grace_seconds is None else grace_seconds
        _stop(children[:first], grace_seconds)
        _stop(children[first:], grace_seconds)


def _run(
    children: Sequence[_Child],
    stop: threading.Event,
    ready: Callable[[], None],
    deaths: Path | None,
) -> int:
    with selectors.DefaultSelector() as selector:
        while not stop.is_set():
            for child in children:
                child.start_when_due(selector)
            for key, _ in selector.select(TICK_SECONDS):
                if not key.data.relay():
                    selector.unregister(key.fileobj)
            for child in children:
                code = child.ended(selector)
                if code == BAD_SETTING and not child.proven:
                    child.tell("cannot run with these settings; stopping everything")
                    return BAD_SETTING
                if code is not None:
                    child.start_later(code)
                    if deaths is not None:
                        note_death(deaths, child.spec.name, time.time_ns() // 1_000_000)
            if all(child.proven for child in children):
                ready()
    return 0


def _stop(children: Sequence[_Child], grace_seconds: float) -> None:
    """Asks the children to end, relays what they still say, and kills who takes too long."""
    deadline = time.monotonic() + grace_seconds
    for child in children:
        child.signal(signal.SIGTERM)
    while any(child.running for child in children) and time.monotonic() < deadline:
        for child in children:
            child.relay()
        time.sleep(TICK_SECONDS / 2)
    for child in children:
        if child.running:
            child.tell(f"still runs after {grace_seconds:g} s; killed")
            child.signal(signal.SIGKILL)
        child.close()


class _Child:
    """One process, through all the times that it is started."""

    def __init__(self, spec: ProcessSpec, prefix: str, output: TextIO) -> None:
        self.spec = spec
        self.proven = False
        self._prefix = prefix
        self._output = output
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1
        self._readiness: ReadyPipe | None = None
        self._unfinished_line = b""
        self._started_at = 0.0
        self._ran_seconds = 0.0
        self._due_at = 0.0
        self._backoff_seconds = BACKOFF_SECONDS

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start_when_due(self, selector: selectors.BaseSelector) -> None:
        if self._process is not None or time.monotonic() < self._due_at:
            return
        self._pipe, write_end = os.pipe()
        self._readiness = readiness = ReadyPipe()
        try:
            # A group of its own, so that Ctrl-C reaches us alone and we stop it in order.
            self._process = subprocess.Popen(
                self.spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                pass_fds=(readiness.write,),
                env={**os.environ, **readiness.environment},
                process_group=0,
                preexec_fn=die_with_parent(),
            )
        except OSError as error:
            os.close(self._pipe)
            readiness.close()
            raise SettingError(
                f"process {self.spec.name}: {self.spec.argv[0]!r} cannot be run: {error}"
            ) from error
        finally:
            os.close(write_end)
            readiness.started()
        self._started_at = time.monotonic()
        os.set_blocking(self._pipe, False)
        selector.register(self._pipe, selectors.EVENT_READ, self)

    def ended(self, selector: selectors.BaseSelector) -> int | None:
        """Returns the exit code of a process that has ended since, once it is all tidied up."""
        if self._process is None:
            return None
        self._ran_seconds = time.monotonic() - self._started_at
        code = self._process.poll()
        if self.spec.tells:
            self.proven = self.proven or (
                self._readiness is not None and self._readiness.is_ready()
            )
        else:
            self.proven = self.proven or self._ran_seconds >= PROVEN_SECONDS
        if code is not None:
            if self._pipe in selector.get_map():
                selector.unregister(self._pipe)
            self.close()
        return code

    def start_later(self, code: int) -> None:
        """Makes the process due again, the later the more often it has died young."""
        if self._ran_seconds >= PROVEN_SECONDS:
            self._backoff_seconds = BACKOFF_SECONDS
        self._due_at = time.monotonic() + self._backoff_seconds
        how = f"was killed by signal {-code}" if code < 0 else f"exited with code {code}"
        self.tell(f"{how}; starts again in {self._backoff_seconds:g} s")
        self._backoff_seconds = min(2 * self._backoff_seconds, MAX_BACKOFF_SECONDS)

    def relay(self) -> bool:
        """Passes on what the process has said by now; returns whether it may say more."""
        if self._process is None:
            return False
        # A pipe holds less than this, so one read empties it but for what is written meanwhile.
        try:
            data = os.read(self._pipe, 1 << 20)
        except BlockingIOError:
            return True
        *lines, self._unfinished_line = (self._unfinished_line + data).split(b"\n")
        for line in lines:
            self.say(line.decode(errors="replace"))
        return bool(data)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def say(self, line: str) -> None:
        self._output.write(f"{self._prefix}{line}\n")
        self._output.flush()

    def tell(self, what: str) -> None:
        """Says something of our own about the process."""
        if self._prefix:
            self.say(what)
        else:
            logger.warning("%s %s", self.spec.name, what)

    def close(self) -> None:
        """Waits for the end of the process and passes on its last words."""
        if self._process is None:
            return
        self._process.wait()
        self.relay()
        if self._unfinished_line:
            self.say(self._unfinished_line.decode(errors="replace"))
            self._unfinished_line = b""
        os.close(self._pipe)
        if self._readiness is not None:
            self._readiness.close()
            self._readiness = None
        self._process = None


def die_with_parent() -> Callable[[], None] | None:
    """Returns what a child runs before its program, so that it does not outlive us.

    None where the system cannot see to it, which is anywhere but on Linux.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the line above took effect.
        if os.getppid() != parent:
            os._exit(1)

    return prepare


BACKLOG: Final = 2048
DRAIN_MARGIN_SECONDS: Final = 2.0
"""What a worker may take beyond its drain to write what waits and to end."""


class Worker(NamedTuple):
    """One of several API processes: its name among its siblings, and the folder they meet in."""

    name: str
    folder: Path


def serve_workers(
    settings: Settings,
    log_format: Form = "text",
    command: Sequence[str] = ("bandit", "serve"),
) -> int:
    """Runs so many workers until SIGTERM or SIGINT; returns the exit code for the whole.

    `command` is the module that each runs, and its first words.

    One that dies is started again while the others go on. At the end all take no more requests,
    answer those in flight, and append what waits.

    Raises:
        SettingError: the address cannot be listened on.
    """
    # Whoever shares the port already is another server, not a worker of ours.
    bound(settings, shared=False).close()
    stop = stop_on_signals()
    # Bound and never listened on: it keeps the port for the workers, whatever becomes of them.
    with bound(settings, shared=True) as reserved, tempfile.TemporaryDirectory() as folder:
        port = reserved.getsockname()[1]
        names = [f"api-{number}" for number in range(1, settings.workers + 1)]
        logger.info("%d workers on port %d", len(names), port)
        specs = [
            ProcessSpec(
                name, _command(settings, port, name, folder, log_format, command), tells=True
            )
            for name in names
        ]
        return up(
            specs,
            stop=stop,
            first=len(names),
            grace_seconds=settings.drain_notice_seconds
            + settings.drain_seconds
            + DRAIN_MARGIN_SECONDS,
            prefixed=log_format == "text",
            ready=ready_teller(),
        )


def bound(settings: Settings, *, shared: bool) -> socket.socket:
    """Returns a socket at the address that the settings name, not listening yet.

    Where it is `shared`, other processes of the same user may be bound there too.

    Raises:
        SettingError: it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise SettingError(
            f"cannot listen on host {settings.host!r}, port {settings.port}: {error.strerror}; "
            "choose another with --host and --port"
        ) from error
    return listening


def _command(
    settings: Settings,
    port: int,
    name: str,
    folder: str,
    log_format: Form,
    command: Sequence[str],
) -> list[str]:
    """Returns how a worker is started; what is not said here it reads from the environment."""
    return [
        *module_command(*command, "--data", str(settings.data)),
        *("--log", settings.log_url, "--host", settings.host, "--port", str(port)),
        *("--ui-port", str(settings.ui_port)),
        *("--worker", name, "--worker-folder", folder, "--log-format", log_format),
    ]
