"""The form of texts in seven languages, and the features that creatives in them have."""

import msgspec
import pytest

from bandit.features.flatten import creative_features
from bandit.features.text import attributes
from bandit.policies.text_thompson import TextThompson, TextThompsonConfig
from bandit.policy import Action
from streams.events import EMPTY

NUMBERS = {"capitals", "length", "sentences", "word_length", "words"}


@pytest.mark.parametrize(
    ("language", "text", "flags"),
    [
        ("zh", "准备好周末开跑了吗？", {"question"}),
        ("zh", "立即购买，5折限时！", {
            "call_to_action", "offer", "urgency", "number", "exclamation"}),
        ("zh", "¥299起", {"money", "number"}),
        ("zh", "“轻”到忘记穿鞋", {"quotation"}),
        ("zh", "１９８克", {"number"}),
        ("zh", "買一送一，僅剩三天", {"offer", "urgency", "number"}),
        ("ja", "今すぐ登録", {"call_to_action", "urgency"}),
        ("ja", "送料無料で届く", {"offer"}),
        ("ko", "지금 시작하세요!", {"call_to_action", "urgency", "exclamation"}),
        ("ko", "오늘 뭐 먹을까?", {"question", "question_word", "urgency"}),
        ("de", "Jetzt Schuhe kaufen: 20 % Rabatt", {
            "call_to_action", "urgency", "colon", "number", "percent", "offer"}),
        ("es", "¿Listo para correr?", {"question"}),
        ("es", "¡Compra hoy!", {"call_to_action", "urgency", "exclamation"}),
        ("fr", "Découvrez vos soldes\u202f!", {
            "call_to_action", "offer", "second_person", "exclamation"}),
        ("it", "Corri oggi?", {"question"}),
    ],
)  # fmt: skip
def test_what_is_true_of_a_text_is_said_in_its_language(language, text, flags):
    assert attributes(text, language).keys() - NUMBERS == flags


def test_lengths_are_as_drawn_and_words_are_those_of_the_script():
    found = attributes("轻盈如风，周末开跑。跑得更久！", "zh")
    assert found["length"] == pytest.approx(0.3)
    assert found["words"] > 0.2
    assert found["sentences"] == 0.5


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Try it for $5 today", ["text", "embedding"]),
        ("轻盈如风，周末开跑", ["text_zh", "letters"]),
        ("輕盈如風，週末開跑", ["text_zh", "letters"]),
        ("Leicht wie der Wind am Wochenende", ["text_de", "letters"]),
    ],
)
def test_what_was_learned_of_english_is_not_said_of_another_language(text, names):
    features = msgspec.json.decode(creative_features({"headline": text}, "wordllama"))
    assert list(features) == names
    assert len(features[names[1]]) == 32


@pytest.mark.parametrize(
    "texts",
    [
        ["轻盈如风，周末开跑", "輕盈如風，週末開跑", "轻盈如风, 周末开跑"],
        ["Leicht wie der Wind am Wochenende", "LEICHT WIE DER WIND AM WOCHENENDE!"],
    ],
)
def test_the_prior_of_english_starts_flat_elsewhere(texts):
    policy = TextThompson(TextThompsonConfig())
    actions = [Action(text, creative_features({"headline": text})) for text in texts]
    assert policy.pmf(EMPTY, actions).tolist() == pytest.approx([1 / len(texts)] * len(texts))


def test_english_features_stay_what_they_were():
    """Creatives' features are stored, so a policy that learned them must not meet others."""
    assert bytes(creative_features({"headline": "Buy now: 50% off!"}, "wordllama")).startswith(
        b'{"text":{"capitals":0.1111,"length":0.17,"sentences":0.25,"word_length":0.275,"words":0.2,'
        b'"call_to_action":true,"offer":true,"urgency":true,"colon":true,"exclamation":true,'
        b'"number":true,"percent":true},"embedding":['
    )
