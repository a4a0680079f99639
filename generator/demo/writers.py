"""Who writes the demo's creatives: the generator, or a file where no model is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import yaml

from bandit.client import Client
from generator.brief.schema import Brief
from generator.errors import GeneratorError

HEADLINES = Path(__file__).with_name("headlines.yaml")


class DemoError(GeneratorError):
    """The demo could not go on; the message says which log to read."""

    code = "demo_failed"


class Writer(Protocol):
    """Brings each placement new creatives, round by round.

    Attributes:
        name: who writes, as a subject of sentences.
    """

    name: str

    @property
    def up_options(self) -> Sequence[str]:
        """What `copyloop up` is started with for it."""

    def begin(self, client: Client, winners: Mapping[str, Sequence[str]]) -> None:
        """Begins a round, shown the texts that won in each placement."""

    def remaining(self, client: Client) -> int:
        """Returns how many placements still wait for their creatives of this round.

        Raises:
            DemoError: they will not come.
        """


class ModelWriter:
    """Asks the generator, with a brief for each placement."""

    name = "The model"

    def __init__(self, briefs: Mapping[str, Brief], *, model: str, n: int, seed: int) -> None:
        self.up_options = ("--model", model)
        self._briefs = briefs
        self._n = n
        self._seed = seed
        self._requested: list[str] = []

    def begin(self, client: Client, winners: Mapping[str, Sequence[str]]) -> None:
        """Requests a generation for each placement."""
        self._requested = []
        for name, brief in self._briefs.items():
            path = f"/v1/placements/{name}/generations"
            body = {"brief": msgspec.to_builtins(brief), "n": self._n, "seed": self._seed}
            answer = client.request("POST", path, {**body, "winners": list(winners.get(name, ()))})
            self._requested.append(f"{path}/{answer['id']}")
        self._seed += 1

    def remaining(self, client: Client) -> int:
        """Returns how many generations are not done."""
        self._requested = [path for path in self._requested if not _is_done(client, path)]
        return len(self._requested)


class FileWriter:
    """Takes every other line that a file has for each placement, then the rest."""

    name = "A file"
    up_options = ("--no-generator",)

    def __init__(self, names: Sequence[str], file: Path = HEADLINES) -> None:
        lines: dict[str, list[str]] = yaml.safe_load(file.read_text(encoding="utf-8"))
        self._rounds = [{name: lines[name][start::2] for name in names} for start in (0, 1)]

    def begin(self, client: Client, winners: Mapping[str, Sequence[str]]) -> None:
        """Posts the lines of this round; who won makes no difference to them."""
        for name, lines in self._rounds.pop(0).items():
            creatives = [{"parts": {"headline": line}, "status": "live"} for line in lines]
            client.request("POST", f"/v1/placements/{name}/creatives", creatives)

    def remaining(self, client: Client) -> int:
        """Returns 0: what is posted is there."""
        return 0


def _is_done(client: Client, path: str) -> bool:
    generation = client.request("GET", path)
    if generation["status"] == "failed":
        raise DemoError(f"the generator failed: {generation['reason']}")
    return bool(generation["status"] == "done")
