"""The demo, step by step: briefs, creatives, traffic, learning, and creatives from the winners.

Everything but the audience is the real thing: `copyloop up` runs as a user would run it, and
all that the demo does it does over HTTP or by reading the log.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bandit.client import Client, ClientError
from bandit.ope.estimators.snips import rank_winners
from bandit.simulate import TasteWorld
from bandit.verification import audit
from generator.brief.schema import load_brief
from generator.demo.audience import Audience, TrafficTally
from generator.demo.view import live_view, print_summary
from generator.demo.writers import DemoError, FileWriter, ModelWriter, Writer
from generator.errors import BackendMissing
from generator.models.opening import check_installed
from streams.events import INTERACTIONS, Interaction, decode, each_interaction
from streams.fold import scan
from streams.logs.base import TopicPartition
from streams.logs.opening import open_log
from streams.process import module_command

BRIEFS: Final = Path(__file__).parent.parent / "briefs"
WINDOW_SECONDS: Final = 20.0
WINNERS_SHOWN: Final = 3
START_SECONDS: Final = 120.0


Phases: TypeAlias = dict[str, dict[str, TrafficTally]]
Rounds: TypeAlias = dict[str, dict[str, list[float]]]


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """How the demo runs: where, with what seed and model, and for how long.

    `creatives` is how many the model writes a placement and round; with `model` None a file has
    the creatives.
    """

    directory: Path
    seed: int
    model: str | None
    creatives: int
    learn_seconds: float
    compete_seconds: float
    visits_per_second: float


def run_demo(settings: DemoSettings, console: Console) -> None:
    """Runs the demo to its end and prints what came of it.

    Raises:
        DemoError: a process did not come up, or the generator failed.
    """
    writer = _open_writer(settings)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    try:
        settings.directory.mkdir(parents=True)
    except FileExistsError:
        raise DemoError(f"{settings.directory} is there already; name a new folder") from None
    url = f"http://127.0.0.1:{port}"
    console.rule("[bold]copyloop: the loop closes")
    console.print(f"data: {settings.directory}   API: {url}   (docs: {url}/docs)")
    if settings.model is None:
        console.print("The headlines come from a file: no model writes.", style="yellow")
    console.print("The audience is simulated; all else is the real thing.\n")
    with _running(settings, writer, port):
        client = Client(url, timeout_seconds=60.0)
        _wait_for(client, settings.directory)
        phases, rounds = _play(settings, writer, url, client, console)
    _finish(settings.directory, console, phases, rounds)


def _open_writer(settings: DemoSettings) -> Writer:
    briefs = {path.stem: load_brief(path) for path in sorted(BRIEFS.glob("*.yaml"))}
    if settings.model is None:
        return FileWriter(list(briefs))
    try:
        check_installed(settings.model)
    except BackendMissing as error:
        raise BackendMissing(f"{error}; or see it without a model: copyloop demo --light") from None
    return ModelWriter(briefs, model=settings.model, n=settings.creatives, seed=settings.seed)


def _play(
    settings: DemoSettings, writer: Writer, url: str, client: Client, console: Console
) -> tuple[Phases, Rounds]:
    names = sorted(path.stem for path in BRIEFS.glob("*.yaml"))
    for name in names:
        client.request("PUT", f"/v1/placements/{name}", _placement())
    writer.begin(client, {})
    _await_creatives(client, writer, len(names), console)
    first = _live_texts(client, names)
    for name in names:
        console.print(f"[bold]{name}[/]: {len(first[name])} creatives are live")

    world = TasteWorld(settings.seed, click_delay_seconds=1.0, conversion_delay_seconds=3.0)
    audience = Audience(url, world, names, visits_per_second=settings.visits_per_second)
    audience.start()
    show = partial(_show, audience, console, client)
    show("The policy learns from clicks", settings.learn_seconds)
    middle = audience.snapshot()

    writer.begin(client, _winners(settings.directory, first))
    show(
        f"{writer.name} writes again",
        START_SECONDS,
        until=lambda: not writer.remaining(client),
    )
    entered = audience.snapshot()
    second = _live_texts(client, names)
    new = frozenset(c for name in names for c in _without(second[name], first[name]))
    show("New creatives compete with the old", settings.compete_seconds, newcomers=new)
    audience.stop()
    end = audience.snapshot()

    phases = {
        "The first creatives, from nothing known": middle,
        "Old and new creatives": {name: end[name].since(entered[name]) for name in names},
    }
    written = {
        "first round": first,
        "second round": {name: _without(second[name], first[name]) for name in names},
    }
    rounds = {
        title: {
            name: [world.best([text]).click_rate for text in texts.values()]
            for name, texts in placements.items()
        }
        for title, placements in written.items()
    }
    return phases, rounds


def _without(texts: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    return {creative_id: text for creative_id, text in texts.items() if creative_id not in known}


def _show(
    audience: Audience,
    console: Console,
    client: Client,
    caption: str,
    seconds: float,
    *,
    newcomers: frozenset[str] = frozenset(),
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Shows the traffic live, for so long or until it is told to end."""
    texts: dict[str, str] = {}
    started = time.monotonic()
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        while (elapsed := time.monotonic() - started) < seconds and not until():
            tallies = audience.snapshot()
            if any(c not in texts for tally in tallies.values() for c in tally.pmf):
                per_placement = _live_texts(client, list(tallies)).values()
                texts = {c: text for live_texts in per_placement for c, text in live_texts.items()}
            progress = f"{caption}  ({elapsed:.0f} of at most {seconds:.0f} s)"
            live.update(live_view(tallies, texts, newcomers, caption=progress))
            time.sleep(0.25)


def _finish(folder: Path, console: Console, phases: Phases, rounds: Rounds) -> None:
    console.rule("[bold]what came of it")
    print_summary(console, phases, rounds)
    log = open_log(f"sqlite:///{folder / 'log.db'}")
    report = audit(log)
    log.close()
    console.print(report.summary())
    console.print(f"\nEverything is in [bold]{folder}[/]. Try next:", soft_wrap=True)
    for command, what in (
        (f"copyloop audit --data {folder}", "derives every propensity again"),
        (f"copyloop up --data {folder}", "the same service goes on"),
        (f"copyloop generate {os.path.relpath(BRIEFS / 'coffee.yaml')}", "headlines from a brief"),
    ):
        console.print(f"  {command}   [dim]{what}[/]", soft_wrap=True)


def _placement() -> dict[str, Any]:
    reward = {
        "kinds": {"click": {"weight": 1.0, "aggregation": "max"}},
        "window_seconds": WINDOW_SECONDS,
    }
    # This audience clicks often. Under the default prior, made for rates about one percent, a
    # newcomer would hardly ever be tried beside a creative that earns ten.
    policy = {"name": "thompson", "alpha": 1.0, "beta": 9.0}
    return {"policy": policy, "reward": reward, "learn": "realtime"}


def _await_creatives(client: Client, writer: Writer, total: int, console: Console) -> None:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{writer.name} writes headlines", total=total)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            remaining = writer.remaining(client)
            progress.update(task, completed=total - remaining)
            if not remaining:
                return
            time.sleep(0.3)
    raise DemoError(f"the generator was not done after {START_SECONDS:.0f} s; see up.log")


def _live_texts(client: Client, names: Sequence[str]) -> dict[str, dict[str, str]]:
    found = {}
    for name in names:
        page = client.request("GET", f"/v1/placements/{name}/creatives?status=live&limit=1000")
        found[name] = {c["id"]: c["parts"]["headline"] for c in page["items"]}
    return found


def _winners(directory: Path, texts: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """The surest few of each placement, read from the log as any other reader would."""
    log = open_log(f"sqlite:///{directory / 'log.db'}")
    by_placement: dict[str, list[Interaction]] = {name: [] for name in texts}
    for record in scan(log, TopicPartition(INTERACTIONS, 0)):
        event = decode(record.value)
        for interaction in each_interaction(event):
            by_placement[interaction.decision.placement].append(interaction)
    log.close()
    return {
        name: [texts[name][w.creative_id] for w in rank_winners(found)[:WINNERS_SHOWN]]
        for name, found in by_placement.items()
    }


@contextmanager
def _running(settings: DemoSettings, writer: Writer, port: int) -> Iterator[None]:
    """`copyloop up` in a process of its own; what it says goes to `up.log`."""
    command = module_command("bandit", "up", "--data", str(settings.directory))
    command += ["--port", str(port), "--no-ui", *writer.up_options]
    with (settings.directory / "up.log").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def _wait_for(client: Client, directory: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            client.request("GET", "/health")
        except ClientError:
            time.sleep(0.2)
        else:
            return
    raise DemoError(f"the API did not come up; see {directory / 'up.log'}")
