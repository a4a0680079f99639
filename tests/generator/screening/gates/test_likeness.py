"""Texts are compared by what reads their language, and capitals do not matter."""

import numpy as np
import pytest
from msgspec.structs import replace

from generator.brief.schema import Brief
from generator.errors import ThresholdsError
from generator.reward.encoders import packaged_minilm
from generator.screening.gates.likeness import reader_of, vectors_of
from generator.screening.screen import CandidateText, Screen
from generator.screening.settings import LikenessSettings, usual
from generator.writing.texts import different_first

SHOES = Brief(product="男士轻量跑鞋", language="zh", facts=("透气网面",), keywords=("跑鞋", "周末"))


def codes(brief, texts, **changes):
    screen = Screen(brief, thresholds=replace(usual(), **changes))
    verdicts = screen.judge([CandidateText(text) for text in texts])
    return [verdict.rejection and verdict.rejection.code for verdict in verdicts]


def test_english_is_read_by_words_and_other_languages_by_letters():
    assert reader_of("en").kind == "words"
    assert {reader_of(code).kind for code in ("zh", "ja", "ko", "de", "es", "fr")} == {"letters"}
    assert vectors_of(["轻量跑鞋"]).shape == reader_of("zh").vectors([""]).shape
    assert vectors_of(["Fresh coffee every morning"]).shape == (1, 256)


@pytest.mark.parametrize("text", ["A brand new bicycle", "Coffee that comes by post"])
def test_capitals_do_not_matter_to_the_subject(text):
    brief = Brief(product="coffee beans by post", keywords=("coffee", "mornings"))
    lower, upper = ([c] for c in codes(brief, [text, text.upper()], skip=("duplicate",)))
    assert lower == upper


def test_chinese_that_says_nearly_the_same_is_a_duplicate_and_other_lines_are_not():
    texts = ["轻盈如风，周末开跑", "透气网面，跑得更久", "轻盈如风，周末来跑", "輕盈如風周末開跑！"]
    found = codes(SHOES, texts, skip=("language",))
    assert found == [None, None, "duplicate", "duplicate"]


def test_chinese_of_one_stem_crowds():
    texts = [f"周末跑鞋，{verb}起来更轻" for verb in ("穿", "跑", "走", "动", "飞", "踩")]
    assert "crowding" in codes(SHOES, texts, skip=("duplicate",))


def test_chinese_of_another_subject_is_off_topic():
    found = codes(SHOES, ["公务员考试培训班今日开课", "男士轻量跑鞋，周末开跑"])
    assert found == ["off_topic", None]


def test_texts_are_put_in_order_by_the_language_that_they_are_in():
    assert different_first(["轻量跑鞋", "轻量跑鞋！", "透气网面"]) == [0, 2, 1]


def test_a_configured_model_reads_every_language():
    model = packaged_minilm()
    reader = reader_of("de", model)
    assert reader.kind == "model"
    one, same, other = reader.vectors(["Coffee at home", "coffee at home", "A tax return"])
    assert np.linalg.norm(one) == pytest.approx(1.0, abs=1e-5)
    assert one @ same > one @ other
    assert reader.vectors([]).shape == (0, 384)
    brief = Brief(product="Laufschuhe", language="de")
    assert "off_topic" in Screen(brief, thresholds=configured(model)).gates
    assert "off_topic" not in Screen(brief).gates


def test_a_model_that_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(ThresholdsError, match=r"likeness\.model is .*nothing-here"):
        reader_of("zh", str(tmp_path / "nothing-here"))


def configured(model):
    return replace(usual(), likeness=LikenessSettings(model=model))
