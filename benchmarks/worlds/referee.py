"""Plays the suite: everybody in the same worlds, with the same visitors, in one table.

`python -m benchmarks.worlds --half tuning --seeds 3 default thompson` plays two policies; peers
and models in numpy join with `--peers`. A world's score is the share of the way from an even
choice to the best choice of every round; what it cost is CPU time a decision, learning included.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from bandit.errors import PolicySpecError
from benchmarks.worlds import peers
from benchmarks.worlds.game import Game
from benchmarks.worlds.players import NUMPY, Made, Player, Served
from benchmarks.worlds.suite import HALVES, worlds_of

RESULTS = Path(__file__).parents[1] / "results" / "worlds.json"
PART = 200
"""Rounds in each measurement of CPU time."""


class Score(NamedTuple):
    """One player in one world with one seed."""

    half: str
    world: str
    player: str
    seed: int
    rounds: int
    mean: float
    captured: float
    microseconds: float


def play(game: Game, player: Player) -> tuple[float, float]:
    """Returns the expected reward of what was shown, and the median CPU time a decision, in µs."""
    live, rounds = game.live(), game.rounds
    earned, parts = 0.0, []
    for first in range(0, rounds, PART):
        last = min(first + PART, rounds)
        start = time.process_time()
        for number in range(first, last):
            epoch = live[number]
            choice = player.choose(number, epoch)
            column = int(epoch.columns[choice])
            player.learn(number, epoch, choice, game.reward(number, column))
            earned += float(game.means[number, column])
        parts.append((time.process_time() - start) / (last - first) * 1e6)
    return earned, float(np.median(parts))


def score(half: str, world: str, seed: int, game: Game, name: str, made: Made) -> Score:
    """Returns how a player does in a game."""
    even, best = game.bounds()
    earned, cost = play(game, made(game, seed))
    captured = (earned - even) / (best - even)
    return Score(half, world, name, seed, game.rounds, earned / game.rounds, captured, cost)


def run(
    half: str,
    worlds: Iterable[str],
    seeds: int,
    players: dict[str, Made],
    say: Callable[[str], None],
) -> list[Score]:
    """Returns everyone's scores."""
    found, known = [], worlds_of(half)
    for world in worlds:
        for seed in range(HALVES[half].first_seed, HALVES[half].first_seed + seeds):
            game = known[world](seed)
            for name, made in players.items():
                try:
                    last = score(half, world, seed, game, name, made)
                except PolicySpecError as error:
                    say(f"{world} {seed} {name} is left out: {error}")
                    continue
                found.append(last)
                say(f"{world} {seed} {name}: {last.captured:.3f}, {last.microseconds:.0f} µs")
    return found


def table(scores: list[Score]) -> Table:
    """Returns a row a player: each world's mean share, then mean, worst and cost over all.

    `of best` divides each world's share by the highest of all players there.
    """
    worlds = list(dict.fromkeys(each.world for each in scores))
    players = list(dict.fromkeys(each.player for each in scores))
    share: dict[tuple[str, str], float] = {}
    for player, world in product(players, worlds):
        found = [each.captured for each in scores if (each.player, each.world) == (player, world)]
        share[player, world] = float(np.mean(found)) if found else float("nan")
    best = {w: np.nanmax([share[p, w] for p in players]) for w in worlds}
    shown = Table("player", *worlds, "of best", "least", "worst decile", "µs")
    for player in players:
        mine = [each for each in scores if each.player == player]
        relative = [share[player, world] / best[world] for world in worlds]
        shown.add_row(
            player,
            *(f"{share[player, world]:.2f}" for world in worlds),
            f"{np.nanmean(relative):.2f}",
            f"{np.nanmin(relative):.2f}",
            f"{np.quantile([each.captured for each in mine], 0.1):.2f}",
            f"{np.median([each.microseconds for each in mine]):.0f}",
        )
    return shown


def keep(scores: list[Score], path: Path) -> None:
    """Writes the scores, in place of those that the same players had in the same worlds."""
    old = [Score(**row) for row in json.loads(path.read_text())] if path.exists() else []
    played = {(each.half, each.world, each.player) for each in scores}
    kept = [each for each in old if (each.half, each.world, each.player) not in played]
    rows = sorted(kept + scores, key=lambda each: each[:4])
    path.write_text("[\n" + ",\n".join(json.dumps(row._asdict()) for row in rows) + "\n]\n")


def main() -> None:
    """Reads the command line, and plays."""
    parser = argparse.ArgumentParser(description="Plays policies and peers in the suite of worlds.")
    parser.add_argument("policies", nargs="*", help="as on copyloop's command line, or 'default'")
    parser.add_argument("--half", choices=HALVES, default="tuning")
    parser.add_argument("--worlds", help="names, joined by commas; all where left out")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--numpy", action="store_true", help="models in numpy play too")
    parser.add_argument("--peers", action="store_true", help="other libraries play too")
    parser.add_argument("--keep", type=Path, help=f"a file for the scores, such as {RESULTS.name}")
    given = parser.parse_args()
    console = Console(width=250)
    players: dict[str, Made] = {text: partial(Served, text) for text in given.policies}
    players |= NUMPY if given.numpy else {}
    say = partial(console.print, markup=False, highlight=False)
    players |= peers.installed(say) if given.peers else {}
    worlds = given.worlds.split(",") if given.worlds else list(worlds_of(given.half))
    scores = run(given.half, worlds, given.seeds, players, say)
    console.print(table(scores))
    if given.keep:
        keep(scores, given.keep)
