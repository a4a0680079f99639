"""The language of a short text: by its letters, then by words, and the usual one in doubt."""

import pytest

from bandit.features.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Your café at home", "en"),
        ("Espresso. Crema. Done.", "en"),
        ("Sale", "en"),
        ("", "en"),
        ("198 %", "en"),
        ("Leicht wie der Wind: dein Wochenende", "de"),
        ("¿Listo para correr este fin de semana?", "es"),
        ("Courez plus loin que jamais\u202f!", "fr"),
        ("轻盈如风，周末开跑", "zh"),
        ("輕盈如風，週末開跑", "zh"),
        ("静かな朝に届く焙煎コーヒー", "ja"),
        ("가벼운 러닝화로 주말을", "ko"),
        ("Nike 新品上市，轻盈如风", "zh"),
    ],
)
def test_the_language_of_a_short_text(text, language):
    assert language_of(text) == language


def test_another_language_may_be_the_usual_one():
    assert language_of("Marketing digital", usual="es") == "es"
