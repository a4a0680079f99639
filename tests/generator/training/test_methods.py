"""Which pairs are learned from, where not all of them are."""

import random

from generator.data.dataset import Prefer
from generator.training.config import DpoConfig
from generator.training.finetune import finetune
from generator.training.methods import surest
from tests.generator.training.conftest import quick


def pair(placement, weight, *, segment="", refused=False):
    text = f"{placement} {segment} {weight:g}"
    return Prefer("p", text, "worse", "b", placement, segment, weight, "train", refused)


def test_each_group_keeps_its_share_of_the_surest_pairs():
    many = [pair("many", 0.8 + n / 1000) for n in range(60)]
    few = [pair("few", 0.8 + n / 1000) for n in range(20)]
    told_by_gates = [pair("many", 1.0, refused=True) for _ in range(20)]
    pairs = [*many, *few, *told_by_gates]
    random.Random(1).shuffle(pairs)
    kept = surest(pairs, 25)
    assert (
        sorted(each for each in kept if not each.refused and each.placement == "many")
        == (many[-15:])
    )
    assert sorted(each for each in kept if each.placement == "few") == sorted(few[-5:])
    assert sum(each.refused for each in kept) == 5


def test_what_is_kept_stays_in_its_order():
    pairs = [pair("a", weight) for weight in (0.9, 0.81, 0.99, 0.85, 0.95)]
    assert [each.weight for each in surest(pairs, 3)] == [0.9, 0.99, 0.95]


def test_no_more_are_kept_than_asked_for_however_many_groups_there_are():
    pairs = [pair("home", 0.9, segment=f"s{n}") for n in range(7)]
    assert len(surest(pairs, 3)) == 3
    assert surest(pairs, 7) == surest(pairs, None) == pairs


def test_a_training_tells_how_many_pairs_it_left_out(ground, tmp_path):
    told = quick(ground, method="loop", dpo=DpoConfig(epochs=1.0, most_pairs=5))
    rows = finetune(ground.dataset, tmp_path / "run", told).rows
    assert rows["prefer/train"] == 5
    assert rows["left_out/beyond_most_pairs"] == 7
    assert rows["prefer/test"] == 6
