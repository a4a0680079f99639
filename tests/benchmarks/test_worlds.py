"""The suite of worlds: its halves share nothing, its worlds repeat, and its scale runs 0 to 1."""

import numpy as np
import pytest

from benchmarks.worlds import synthetic
from benchmarks.worlds.game import Epoch, Game
from benchmarks.worlds.players import Served
from benchmarks.worlds.referee import play
from benchmarks.worlds.suite import HALVES

SMALL = synthetic.two_close, synthetic.telling_texts, synthetic.profit


class Omniscient:
    def __init__(self, game):
        self.game = game

    def choose(self, number, epoch):
        return int(np.argmax(self.game.means[number, epoch.columns]))

    def learn(self, number, epoch, choice, reward):
        pass


def first(game, n):
    """The game's first n rounds."""
    epochs = tuple(epoch for epoch in game.epochs if epoch.first < n)
    delay = None if game.delay is None else game.delay[:n]
    return Game(
        game.contexts[:n],
        game.covariates[:n],
        epochs,
        game.means[:n],
        game.draws[:n],
        game.noise,
        game.low,
        game.high,
        delay,
        game.times_ms,
    )


def test_the_halves_have_no_world_and_no_seed_in_common():
    tuning, held_out = HALVES["tuning"], HALVES["held_out"]
    assert not set(tuning.worlds) & set(held_out.worlds)
    assert held_out.first_seed - tuning.first_seed > 1000


@pytest.mark.parametrize("world", SMALL, ids=lambda world: world.__name__)
def test_a_seed_is_one_game_and_knowing_all_captures_all(world):
    game, again = world(1), world(1)
    assert np.array_equal(game.means, again.means)
    assert np.array_equal(game.draws, again.draws)
    assert [bytes(c) for c in game.contexts] == [bytes(c) for c in again.contexts]
    even, best = game.bounds()
    assert best > even
    assert play(game, Omniscient(game))[0] == pytest.approx(best)
    assert all(isinstance(epoch, Epoch) for epoch in game.epochs)


def test_showing_evenly_captures_nothing():
    game = synthetic.two_close(1)
    even, best = game.bounds()
    earned, _ = play(game, Served("uniform", game, 1))
    assert abs(earned - even) / (best - even) < 0.05


def test_a_late_reward_corrects_what_was_learned():
    game = first(synthetic.day_and_delay(1), 600)
    player = Served("thompson", game, 1)
    play(game, player)
    before = sum(arm.total for arm in player.policy._arms.of(game.epochs[0].actions))
    player.take_due(10_000)
    after = sum(arm.total for arm in player.policy._arms.of(game.epochs[0].actions))
    assert after > before
