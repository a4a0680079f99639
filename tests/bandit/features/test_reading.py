"""A text is read by its script: what a word, a sentence, a quotation and a phrase are in each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandit.features.language import KNOWN, language_of
from bandit.features.reading import (
    chinese_form,
    finds,
    mostly,
    one_line,
    plain,
    sentences,
    simplified,
    unquoted,
    words,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("轻量跑鞋陪你跑遍城市", ["轻量", "跑鞋", "陪", "你", "跑遍", "城市"]),
        ("輕量跑鞋 週末開跑", ["輕量", "跑鞋", "週末", "開", "跑"]),
        ("静かな朝に届く", ["静か", "な", "朝", "に", "届く"]),
        ("いつでも解約できる", ["いつ", "でも", "解約", "できる"]),
        ("가벼운 러닝화로 주말을!", ["가벼운", "러닝화로", "주말을"]),
        ("ฟังเพลงที่คุณชอบ", ["ฟัง", "เพลง", "ที่", "คุณ", "ชอบ"]),
        ("¿Corre más? Cansa menos.", ["corre", "más", "cansa", "menos"]),
        ("Cafe\u0301 d’été", ["cafe\u0301", "d’été"]),
        ("हर सुबह ताज़ा", ["हर", "सुबह", "ताज़ा"]),
        ("snake_case 20%", ["snake", "case", "20"]),
        ("用AI写文案", ["用", "ai", "写", "文案"]),
        ("…！？", []),
    ],
)
def test_words_are_those_of_the_script(text, expected):
    assert words(text) == expected


@given(st.text())
def test_words_are_in_the_text_in_order(text):
    rest = text.lower()
    for word in words(text):
        assert word in rest
        rest = rest[rest.index(word) + len(word) :]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("跑得更久。穿得更轻！", ["跑得更久。", "穿得更轻！"]),
        ("準備はいい？走ろう。", ["準備はいい？", "走ろう。"]),
        ("¿Listo? ¡Corre!", ["¿Listo?", "¡Corre!"]),
        ("Prêt\u202f? Partez\u202f!", ["Prêt\u202f?", "Partez\u202f!"]),
        ("Only 4.5 kg. Run.", ["Only 4.5 kg.", "Run."]),
        ("「はい。」そうです", ["「はい。」", "そうです"]),
    ],
)
def test_sentences_end_at_the_signs_of_the_script(text, expected):
    assert sentences(text) == expected


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("跑鞋中的最佳选择", "最佳"),
        ("全国销量第一的跑鞋", "第一"),
        ("全国销量第 一的跑鞋", "第 一"),
        ("５折开抢", "5折"),
        ("세계최고의 러닝화", "최고"),
        ("아이폰iPhone을 사다", "IPHONE"),
        ("Die BESTE Wahl", "beste"),
        ("l’offre d’été", "l'offre"),
        ("Half\u00a0price", "half price"),
        ("che\u00adap", "cheap"),
    ],
)
def test_a_phrase_is_found_where_the_script_has_words(text, phrase):
    assert finds(text, phrase)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [("A cheaper bed", "cheap"), ("Bestellen", "beste"), ("15折", "5折"), ("跑鞋", " ")],
)
def test_a_phrase_is_not_found_inside_a_word(text, phrase):
    assert not finds(text, phrase)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("“轻盈如风，周末开跑”", "轻盈如风，周末开跑"),
        ("「静かな朝に」", "静かな朝に"),
        ("«Ligeras» como el viento", "«Ligeras» como el viento"),
        ("„Leicht“ war nie so schnell", "„Leicht“ war nie so schnell"),
        ("“轻”到“忘”", "“轻”到“忘”"),
        ("'Don't wait'", "Don't wait"),
        ("‘Don’t wait’", "Don’t wait"),
        ("It’s for runners who don’t", "It’s for runners who don’t"),
        ('Fresh beans"', "Fresh beans"),
        ("« Prêt\u202f? »", "Prêt\u202f?"),
        ("『「二重」』", "二重"),
        ('"', ""),
    ],
)
def test_quotes_around_the_whole_are_taken_off(text, expected):
    assert unquoted(text) == expected


@given(st.text())
def test_a_text_without_its_quotes_has_none_to_take_off(text):
    assert unquoted(unquoted(text)) == unquoted(text)


@given(st.text())
def test_a_plain_text_is_plain(text):
    assert plain(plain(text)) == plain(text)


@given(st.text())
def test_halves_of_characters_stop_nothing(text):
    text += "\ud83d跑"
    for found in (words(text), sentences(text), [plain(text), simplified(text)]):
        assert all(isinstance(each, str) for each in found)
    assert language_of(text) in KNOWN


def test_one_line_keeps_spaces_that_do_not_break():
    assert one_line("Courez\u202f!\r\n 20\u00a0%\u3000de") == "Courez\u202f! 20\u00a0% de"


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("轻盈如风，周末开跑", "simplified"),
        ("輕盈如風，週末開跑", "traditional"),
        ("軽量", None),
        ("Run 山水", None),
    ],
)
def test_the_forms_of_chinese_are_told_apart(text, form):
    assert chinese_form(text) == form


def test_traditional_characters_become_simplified_and_others_stay():
    assert simplified("輕量跑鞋 Über ランニング") == "轻量跑鞋 Über ランニング"


@pytest.mark.parametrize(
    ("text", "script"),
    [("軽量シューズで", "kana"), ("轻量ABC跑鞋", "han"), ("가벼운 IT", "hangul"), ("Ü-1", "latin")],
)
def test_a_text_is_of_the_script_of_most_letters(text, script):
    assert mostly(text) == script
