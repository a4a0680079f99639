"""The gate of language: letters tell scripts apart, words the languages of one script."""

from functools import partial

import pytest
from msgspec.structs import asdict

from generator.brief.schema import Brief
from generator.screening.gates.language import form_of, in_language, names_of
from generator.screening.settings import usual

judged = partial(in_language, **asdict(usual().language))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Your café at home"),
        ("en", "Your logins, your passwords"),
        ("en", "Run Further. Feel Better."),
        ("en", "Espresso. Crema. Done."),
        ("en", "Hola, Sunday tacos"),
        ("de", "Dein Fitness-Coach in der App"),
        ("de", "Wochenendlaufschuhe"),
        ("de", "Was gibt's Neues? Kaffee!"),
        ("de", "Der Deal des Tages"),
        ("es", "¿Listo para correr este fin de semana?"),
        ("es", "Streaming sin límites"),
        ("es", "Elige tu color"),
        ("fr", "Le shopping en un clic"),
        ("fr", "Courez plus loin\u202f!"),
        ("nb", "Tre oster i måneden"),
        ("zh", "轻盈如风，周末开跑"),
        ("zh", "用App记账，省心"),
        ("zh", "¥299起"),
        ("ja", "静かな朝に届く焙煎コーヒー"),
        ("ja", "期間限定全品半額"),
        ("ja", "iPhoneケース"),
        ("ko", "가벼운 러닝화로 주말을"),
        ("uk", "Свіжа кава щодня до дверей"),
        ("hi", "हर सुबह ताज़ा कॉफ़ी"),
        ("en", "198"),
    ],
)
def test_a_text_in_the_language_passes_whatever_it_borrows(language, text):
    assert judged(text, language).why is None


@pytest.mark.parametrize(
    ("language", "text", "said"),
    [
        ("de", "Lightweight running shoes for men", "is English"),
        ("es", "Lightweight running shoes for men", "is English"),
        ("fr", "Quiet headphones for your commute", "is English"),
        ("fr", "Your commute starts here", "is English"),
        ("es", "Your commute starts here", "is English"),
        ("es", "Auscultadores com cancelamento de ruído", "is Portuguese"),
        ("es", "Zapatias lijeras para corer", "is Portuguese"),
        ("en", "Schlaf gut und wach in Stockholm auf", "is German"),
        ("es", "Corra mais leve neste fim de semana", "is Portuguese"),
        ("en", "轻盈如风，周末开跑", "is Chinese"),
        ("zh", "軽量ランニングシューズで週末を走ろう", "is Japanese"),
        ("zh", "無料会員登録", "is Japanese"),
        ("zh", "輕量跑鞋 週末開跑", "is Traditional Chinese; not Simplified Chinese"),
        ("zh", "가벼운 러닝화로 주말을 달려보세요", "is Korean"),
        ("zh", "Lightweight running shoes", "in latin letters"),
        ("ja", "轻盈如风，周末开跑", "is Chinese"),
        ("ja", "Fresh coffee every day", "in latin letters"),
        ("ko", "静かな朝に", "is Japanese"),
        ("uk", "Свежий кофе каждый день у двери", "is Russian"),
    ],
)
def test_a_text_in_another_language_is_refused_by_its_name(language, text, said):
    assert said in judged(text, language).why


def test_traditional_chinese_is_what_a_traditional_brief_asks_for():
    brief = Brief(product="男士輕量跑鞋", language="zh")
    assert form_of(brief) == "traditional"
    assert form_of(Brief(product="男士轻量跑鞋", language="zh")) == "simplified"
    assert form_of(Brief(product="跑步", language="zh-Hant")) == "traditional"
    assert judged("輕量跑鞋 週末開跑", "zh", form="traditional").why is None
    assert "not Traditional" in judged("轻量跑鞋", "zh-Hant", form="traditional").why


def test_names_decide_nothing():
    brief = Brief(product="Galaxy Watch Ultra 智能手表", brand="Samsung", language="zh")
    text = "Samsung Galaxy Watch Ultra 来"
    assert judged(text, "zh").why
    assert judged(text, "zh", known=names_of(brief)).why is None
    assert names_of(Brief(product="coffee beans", brand="Le Café")) == ("Le Café",)
