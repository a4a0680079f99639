"""Vectors of letters: like wording is near, in any script, and signs do not matter."""

import numpy as np
import pytest

from bandit.features.letters import letter_vectors


@pytest.mark.parametrize(
    ("text", "like", "unlike"),
    [
        ("轻盈如风，周末开跑", "輕盈如風 週末開跑！", "上海天气今天多云转晴"),
        ("静かな朝に届くコーヒー", "静かな朝のコーヒー", "中古トラック高価買取"),
        ("가벼운 러닝화로 주말을", "가벼운 러닝화, 주말", "아파트 분양 상담"),
        ("Leichte Laufschuhe für Männer", "LEICHTE LAUFSCHUHE", "Steuern sparen im Alter"),
    ],
)
def test_like_wording_is_near(text, like, unlike):
    own, near, far = letter_vectors([text, like, unlike], 2048)
    assert own @ near > 0.4
    assert own @ far < 0.2


def test_vectors_are_of_length_one_or_nothing():
    found = letter_vectors(["跑鞋", "!?", ""], 64)
    assert np.linalg.norm(found, axis=1).round(5).tolist() == [1.0, 0.0, 0.0]


def test_vectors_never_change():
    """Creatives' features are stored, so a model that learned them must not meet others."""
    [found] = letter_vectors(["轻量跑鞋"], 8)
    assert [round(float(x), 4) for x in found] == EXPECTED


EXPECTED = [-0.6325, 0.6325, 0.0, 0.3162, 0.0, -0.3162, 0.0, 0.0]
