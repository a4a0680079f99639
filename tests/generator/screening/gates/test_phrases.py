import pytest

from generator.screening.gates.phrases import find_phrase
from generator.screening.gates.text import ruled_out

FOUND = {
    "zh": [
        ("真便宜！", "便宜"),
        ("最便宜的一双", "便宜"),
        ("便·宜好穿", "便宜"),
        ("真便 宜啊", "便宜"),
        ("最 佳选择", "最佳"),
        ("國家級品質", "国家级"),
        ("国家级品质", "國家級"),
        ("比ＮＩＫＥ更轻", "Nike"),
        ("耐 克也轻", "耐克"),
        ("太贵了", "贵"),
    ],
    "ja": [
        ("安く買える", "安い"),
        ("安さで選ぶ", "安い"),
        ("ﾅｲｷより軽い", "ナイキ"),
        ("売った", "売る"),
    ],
    "ko": [
        ("저렴한 신발", "저렴하다"),
        ("저렴해요", "저렴하다"),
        ("최고의 신발", "최고"),
        ("나이키보다 가벼운", "나이키"),
        ("가벼운 신발", "가볍다"),
        ("최 고의 선택", "최고"),
        ("저렴하게 만나요", "저렴한"),
        ("저렴하고 가벼운", "저렴한"),
        ("저렴히", "저렴한"),
        ("저렴해요", "저렴한"),
        ("가벼워요", "가벼운"),
        ("가볍게", "가벼운"),
    ],
    "de": [
        ("Günstige Schuhe", "günstig"),
        ("günstigste Schuhe", "günstig"),
        ("guenstig laufen", "günstig"),
        ("Supergünstig", "günstig"),
        ("Billigpreise", "billig"),
        ("Viele Kaffeesorten", "Sorte"),
        ("am besten", "beste"),
        ("verbilligt", "billig"),
        ("billiger", "billig"),
        ("Billigkaffee", "billig"),
        ("Allerbestes", "beste"),
        ("teure Schuhe", "teuer"),
        ("Ärzte raten", "Arzt"),
        ("Adidas' Schuhe", "adidas"),
    ],
    "es": [
        ("Las más baratas", "barato"),
        ("Baratísimo", "barato"),
        ("Los mejores", "mejor"),
        ("fácilmente", "fácil"),
        ("FACIL", "fácil"),
        ("compra ya", "comprar"),
        ("felices", "feliz"),
        ("un chollazo", "chollo"),
        ("chollos", "chollo"),
    ],
    "fr": [
        ("pas chère", "pas cher"),
        ("Meilleures nuits", "meilleur"),
        ("bonnes nuits", "bon"),
        ("gratuitement", "gratuit"),
        ("qu'Emma", "Emma"),
        ("nouvelle", "nouveau"),
        ("M E I L L E U R", "meilleur"),
    ],
    "en": [("ch3ap beds", "cheap"), ("c h e a p", "cheap"), ("moneyback", "money-back"),
           ("tricking you", "trick"), ("cheaply made", "cheap"), ("cheapness", "cheap"),
           ("cheapest", "cheap"), ("Café", "cafe")],
}  # fmt: skip
NOT_FOUND = {
    "zh": [("方便宜居", "便宜"), ("轻便 宜穿", "便宜"), ("珍贵", "贵"), ("一起跑", "第一")],
    "ja": [("安心の一足", "安い")],
    "de": [("Jetzt bestellen", "beste"), ("Besteck", "beste")],
    "es": [("Mejora tu ritmo", "mejor")],
    "fr": [("Passe à table", "pas cher"), ("une femme", "Emma")],
    "en": [
        ("caring", "car"),
        ("notable", "table"),
        ("monthly", "month"),
        ("A cheaper bed", "cheap"),
    ],
}


def each(cases):
    return [(language, *case) for language, found in cases.items() for case in found]


@pytest.mark.parametrize(("language", "text", "phrase"), each(FOUND))
def test_a_phrase_is_found_in_any_form_and_spelling(language, text, phrase):
    assert find_phrase(text, phrase, language)
    assert ruled_out(text, [phrase], (), language).why == f"the brief rules out {phrase!r}"
    assert ruled_out(text, (), [phrase], language).why == f"names a competitor, {phrase!r}"


@pytest.mark.parametrize(("language", "text", "phrase"), each(NOT_FOUND))
def test_other_words_with_the_same_letters_are_none(language, text, phrase):
    assert not find_phrase(text, phrase, language)
