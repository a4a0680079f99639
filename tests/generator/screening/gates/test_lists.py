"""The law on advertising, profanity and contempt: files that are sound, and what they find."""

import pytest

from generator.screening.gates.lists import (
    LAW,
    WORDS,
    contemptuous,
    load_law,
    markets,
    profane,
    unlawful,
    word_list,
)

BROKEN = {
    "zh": [
        ("跑鞋中的最佳选择", "article 9 (3)"),
        ("國家級跑鞋品質", "article 9 (3)"),
        ("全国销量第一的跑鞋", "article 9 (3)"),
        ("顶 级跑鞋", "article 9 (3)"),
        ("跑鞋穿上包治膝盖痛", "articles 16 to 18"),
        ("稳赚不赔，放心买", "article 25"),
        ("吊打同行的跑鞋", "article 13"),
        ("错过再等一年", "price fraud"),
        ("最棒的咖啡", "article 9 (3)"),
        ("这杯最香的手冲", "article 9 (3)"),
        ("国宴用茶", "article 9 (2)"),
        ("国宴级好茶", "article 9 (2)"),
        ("国家领导人喝的茶", "article 9 (2)"),
        ("治百病", "articles 16 to 18"),
        ("喝了不生病", "articles 16 to 18"),
        ("中国驰名商标", "article 14"),
        ("祖传秘方", "article 28"),
        ("原价398元，现价199元", "price fraud"),
    ],
    "ja": [
        ("業界No.1の軽さ", "5 (1)"),
        ("業界トップの軽さ", "5 (1)"),
        ("膝の痛みが治る靴", "66 and 68"),
        ("他社より軽い", "article 2"),
        ("必ず痩せるシューズ", "article 65"),
        ("赤字覚悟の靴", "5 (2)"),
    ],
    "ko": [
        ("국내 1위 러닝화", "3 (1) 1"),
        ("무릎 통증이 사라지는 신발", "article 8"),
        ("타사보다 훨씬 가볍다", "3 (1) 3"),
        ("원금 보장 투자", "article 57"),
    ],
    "de": [
        ("Der beste Laufschuh aller Zeiten", "2005/29/EC"),
        ("Heilt Knieschmerzen garantiert", "2001/83/EC"),
        ("Besser als die Konkurrenz", "2006/114/EC"),
        ("Klimaneutral laufen", "4a to 4c"),
    ],
    "es": [
        ("Las zapatillas n.º 1 de España", "2005/29/EC"),
        ("Baja el colesterol", "2001/83/EC"),
        ("Baja la presión arterial", "2001/83/EC"),
        ("Ayuda contra el cáncer", "2001/83/EC"),
        ("Al mejor precio", "98/6/EC"),
        ("Recomendada por pediatras", "2001/83/EC"),
    ],
    "fr": [
        ("Le matelas n° 1 en France", "2005/29/EC"),
        ("Guérit le mal de dos", "2001/83/EC"),
        ("Guérit tout", "2001/83/EC"),
        ("Guérit vos genoux", "2001/83/EC"),
        ("Fait disparaître la douleur", "2001/83/EC"),
        ("Aide contre le cancer", "2001/83/EC"),
        ("Fait baisser la tension", "2001/83/EC"),
        ("Maigrissez en dormant", "1924/2006"),
    ],
    "en": [
        ("Pain-Free Dentistry", "section 12"),
        ("Clinically proven comfort", "section 12"),
        ("Better than other brands", "3.33 to 3.38"),
        ("Carbon-neutral shoes", "4a to 4c"),
        ("Lowest prices guaranteed", "schedule 20"),
        ("Was $249, now $199", "3.17"),
    ],
}
LAWFUL = {
    "zh": ["最后三天", "遇见最好的自己", "第一次跑步，就穿它", "最近想跑步吗？", "唯一的你",
           "最好的自己", "最美的风景在路上", "最新鲜的早晨", "国家公园", "病假也安心"],
    "ja": ["最近、走ってますか？", "一番好きな道を走ろう", "最初の一歩を軽く", "トップスも軽く"],
    "ko": ["최근에 달려 보셨나요?", "가장 먼저 만나는 아침"],
    "de": ["Das Beste am Morgen", "Die beste Zeit zum Laufen", "Weniger Schmerz beim Abschied"],
    "es": ["El mejor momento del día", "Mejora tu ritmo", "Sin presión, a tu ritmo"],
    "fr": ["Le meilleur moment de la journée", "Dormez mieux", "Fait passer le temps",
           "Aide à bien dormir"],
    "en": ["The best part of the day", "60-Night Trial. No Risk.", "Pain au chocolat",
           "The film was 90 minutes"],
}  # fmt: skip
PROFANE = {
    "zh": ["操你妈的跑鞋", "傻 逼才不穿", "他妈的轻", "真TMD轻"],
    "ja": ["クソ重い靴は捨てろ", "この馬鹿野郎", "ブスは走るな"],
    "ko": ["씨발 존나 가볍다", "병신 같은 신발", "개새끼야 달려"],
    "de": ["Scheiß auf langsame Schuhe", "Sch-eiße", "Fuck, ist das leicht"],
    "es": ["Corre, gilipollas, corre", "Joder, qué rápido", "hijos de puta", "que os jodan",
           "jódete", "que te jodan"],
    "fr": ["Putain, quel matelas", "Va te faire foutre", "connasse"],
}  # fmt: skip
CLEAN = {
    "zh": ["妈妈的爱", "操场上的周末", "日日如新", "牛仔外套", "干净利落", "草地上跑"],
    "ja": ["アホウドリの島", "バカンスへ行こう", "デブリのない空", "とても高くそして美しい"],
    "ko": ["다시 발견하는 주말", "시발점", "가족의 주말", "십팔 킬로미터", "새끼손가락"],
    "de": ["Archivschuhe", "Besteck", "Hurra, Wochenende", "Schiffsreise", "Klassiker"],
    "es": ["computadora", "La disputa", "Un pollo asado", "Escoger bien", "Montecarlo"],
    "fr": ["Concombre", "Confort", "La bitumeuse", "Culture", "Le concert", "Salopette d'été"],
}
CONTEMPT = {
    "zh": ["女人就该在家做饭，男人才跑步", "外地人不配穿"],
    "ja": ["女は黙って家事をしろ", "外国人お断り"],
    "ko": ["여자는 집에서 밥이나 해", "외국인 출입 금지"],
    "de": ["Sogar Frauen können das", "Nichts für Ausländer"],
    "es": ["Las mujeres a la cocina", "No apto para gitanos"],
    "fr": ["La place des femmes est en cuisine", "Interdit aux Arabes"],
}


def each(cases):
    return [(language, text) for language, texts in cases.items() for text in texts]


@pytest.mark.parametrize(
    ("language", "text", "article"), [(lang, *case) for lang, c in BROKEN.items() for case in c]
)
def test_the_law_refuses_and_names_its_article(language, text, article):
    assert article in unlawful(text, markets(), language).why


@pytest.mark.parametrize(("language", "text"), each(LAWFUL))
def test_the_law_lets_ordinary_wordings_through(language, text):
    assert unlawful(text, markets(), language).why is None


def test_a_claim_that_the_brief_makes_passes_where_proof_is_all_that_is_asked():
    assert unlawful("The UK's No. 1 Tea", ["uk"], "en", ["the UK's no. 1 tea"]).why is None
    assert unlawful("Pain-free dentistry", ["uk"], "en", ["pain-free dentistry"]).why
    assert unlawful("顶级跑鞋", ["cn"], "zh", ["顶级跑鞋"]).why


@pytest.mark.parametrize(
    ("language", "text", "claim", "passes"),
    [
        ("en", "Was $249, now $199", "was $249, now $199", True),
        ("en", "Was $249, now $199", "$249 and $199", False),
        ("en", "Was $24, now $19", "was $249, now $199", False),
        ("en", "Was $24", "was $24.90", False),
        ("en", "Was 249, now 199", "now 199", False),
        ("zh", "原价398元，现价199元", "原价398元，现价199元", True),
        ("zh", "原价39元", "原价398元", False),
        ("zh", "原价398元，现价199元", "现价199元", False),
    ],
)
def test_a_price_of_before_passes_where_the_brief_says_it(language, text, claim, passes):
    assert (unlawful(text, markets(), language, [claim]).why is None) == passes


def test_markets_that_are_not_asked_for_do_not_hold():
    assert unlawful("Carbon-neutral shoes", ["cn"], "en").why is None


@pytest.mark.parametrize("market", markets())
def test_each_rule_of_law_names_article_severity_and_wordings(market):
    law = load_law(market)
    assert law.sources
    assert law.checked
    assert all(rule.article and rule.why and rule.patterns for rule in law.rules)
    assert all(language in BROKEN for rule in law.rules for language in rule.patterns)
    assert (LAW / f"{market}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("language", PROFANE)
def test_each_list_names_its_sources(language):
    found = word_list(language)
    assert found.language == language
    assert found.sources
    assert (WORDS / f"{language}.yaml").read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize(("language", "text"), each(PROFANE))
def test_profanity_is_found_in_each_language(language, text):
    assert profane(text, language).why


@pytest.mark.parametrize(("language", "text"), each(CLEAN))
def test_words_that_look_like_profanity_pass(language, text):
    assert profane(text, language).why is None


def test_the_lists_can_be_changed():
    assert profane("Das ist Mist", "de", extra=["Mist"]).why
    assert profane("Penner am Bahnhof", "de").why
    assert profane("Penner am Bahnhof", "de", allowed=["Penner"]).why is None


@pytest.mark.parametrize(("language", "text"), each(CONTEMPT))
def test_contempt_is_found_in_each_language(language, text):
    assert contemptuous(text, language).why
