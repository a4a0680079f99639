"""Figures in every language: their value and kind, and what backs them."""

import pytest

from generator.screening.gates.figures import read_figures, unbacked

SAME = {
    "zh": ["5折", "五折", "半价", "50%折扣", "立减50%", "5 折起"],
    "ja": ["50%オフ", "5割引", "半額", "50%引き"],
    "ko": ["50% 할인", "반값", "반값에 드려요"],
    "de": ["50 % Rabatt", "zum halben Preis", "-50 %", "fünfzig Prozent Rabatt", "Halber Preis"],
    "es": ["50 % de descuento", "a mitad de precio", "-50 %"],
    "fr": ["-50 %", "à moitié prix", "50 % de réduction", "la moitié du prix"],
    "en": ["50% off", "half price", "save 50%", "-50%"],
}
"""The same figure however it is written, in each language."""
DEALS = {
    "zh": ["买一送一", "买1送1", "拍一发二"],
    "ko": ["1+1", "원플러스원"],
    "es": ["2x1", "dos por uno"],
    "fr": ["2 pour 1", "deux pour un"],
    "de": ["2 für 1", "zwei zum Preis von einem"],
    "en": ["2 for 1", "buy one, get one free", "2-for-1", "two for the price of one"],
}
UNBACKED = [
    ("zh", "仅售198元", "单只仅重198克"),
    ("zh", "跑鞋17天见效", "14 to 17 h"),
    ("zh", "立减35元", "18-35岁男性"),
    ("zh", "满198减50", "满300减50"),
    ("zh", "满300减60", "满300减50"),
    ("zh", "300万跑者的选择", "满300减50"),
    ("zh", "8.8折", "8折"),
    ("zh", "第二件半价", "半价"),
    ("zh", "百分百好评", "纯棉"),
    ("zh", "三天见效", "三双装"),
    ("zh", "上万人在跑", "轻量"),
    ("zh", "已售十万只", "轻量"),
    ("en", "Open until 9 am", "19 to 21 h"),
    ("ja", "5,000円", "5000グラム"),
    ("ja", "十万人が選んだ", "10人"),
    ("ja", "3分で完成", "3時間"),
    ("ko", "만 원 할인", "1만 명"),
    ("de", "Nur 7 Minuten", "7 to 9 h"),
    ("de", "100 % Rabatt", "100 % Baumwolle"),
    ("es", "Un millón de clientes", "un curso"),
    ("fr", "La moitié du temps", "un matelas"),
    ("fr", "2 300 clients", "2 clients, 300 recettes"),
    ("en", "Only $49", "only 49 euros"),
    ("en", "In 7 minutes", "7 to 9 h"),
    ("en", "100% off", "100% cotton"),
    ("en", "4.8 minutes", "rated 4.8 stars"),
    ("en", "12/30", "Ends November 30, 2026"),
    ("en", "11/30/2027", "Ends November 30, 2026"),
    ("ja", "12/30まで", "11月30日まで"),
    ("de", "Bis 30.12.", "bis 30. November"),
    ("ko", "19만 9천원", "198,000원"),
    ("zh", "第二件半价", "第二件8折"),
    ("de", "9,90 € im Jahr", "9,90 € im Monat"),
    ("en", "$5 a year", "$5 a month"),
    ("zh", "9.9元/年", "9.9元/月"),
    ("es", "9,90 € al año", "9,90 € al mes"),
]
BACKED = [
    ("zh", "198克轻量跑鞋", "单只仅重198克"),
    ("zh", "¥299起", "299元起"),
    ("zh", "三十万跑者", "30万跑者"),
    ("zh", "满300元减50", "满300减50"),
    ("zh", "18～35岁", "18-35岁男性"),
    ("zh", "一双轻量跑鞋，两个周末", "轻量"),
    ("zh", "十分轻盈，一路向前", "轻量"),
    ("zh", "０.２公斤", "200克"),
    ("ja", "税込5,000円", "5000円"),
    ("ja", "わずか5gの軽さ", "重さ5g"),
    ("zh", "晚上七点，开口说英语", "19 to 21 h"),
    ("en", "Open until 9 pm", "19 to 21 h"),
    ("de", "24 Stunden Akku", "1 Tag Akku"),
    ("de", "Fünfundzwanzig Liter? 25 Liter!", "25 Liter"),
    ("es", "Veinte minutos", "20 minutos"),
    ("fr", "1\u202f049,50 €", "1049,50 euros"),
    ("fr", "quatre-vingt-dix jours", "90 jours"),
    ("en", "Free for 5", "free for 5 users"),
    ("en", "Only 198 g", "weight_g 198"),
    ("en", "Two hundred and fifty runners", "250 runners"),
    ("en", "7 pm to 9 pm", "from 7pm to 9pm"),
    ("ko", "19만 8천원", "198,000원"),
    ("ko", "198,000원", "19만 8천원"),
    ("zh", "250公克", "250g"),
    ("zh", "250克", "250公克"),
    ("en", "12k runners", "12,000 runners"),
    ("zh", "九成五好评", "95%"),
    ("zh", "第二件5折", "第二件半价"),
    ("zh", "第二件半价", "第二件五折"),
    ("en", "24 hours, 7 days", "open 24/7"),
    ("en", "Open 24/7", "24 hours, 7 days"),
    ("zh", "9.9元/月", "9.9元/月"),
    ("es", "9,90 € por mes", "9,90 € al mes"),
    ("de", "9,90 € pro Monat", "9,90 € im Monat"),
    ("en", "11/30/2026", "Ends November 30, 2026"),
    ("en", "30/11", "Ends November 30, 2026"),
    ("en", "Ends Nov. 30", "11月30日"),
    ("ja", "11/30まで", "11月30日まで"),
    ("ko", "2026.11.30까지", "2026년 11월 30일"),
    ("zh", "11/30截止", "2026年11月30日"),
    ("de", "Nur bis 30.11.", "bis 30. November"),
    ("es", "Hasta el 30/11", "hasta el 30 de noviembre"),
    ("fr", "Jusqu'au 30/11", "jusqu'au 30 novembre"),
]


@pytest.mark.parametrize("language", SAME)
def test_spellings_of_a_discount_back_each_other(language):
    for source in SAME[language]:
        for text in SAME[language]:
            assert unbacked(text, [source], language).why is None, (text, source)


@pytest.mark.parametrize("language", DEALS)
def test_deals_are_figures_that_nothing_but_the_same_deal_backs(language):
    for text in DEALS[language]:
        assert unbacked(text, ["1 2"], language).why
        assert unbacked(text, DEALS[language][:1], language).why is None, text


@pytest.mark.parametrize(("language", "text", "source"), UNBACKED)
def test_a_figure_of_another_kind_or_value_backs_nothing(language, text, source):
    assert unbacked(text, [source], language).why


@pytest.mark.parametrize(("language", "text", "source"), BACKED)
def test_the_same_figure_backs_however_it_is_written(language, text, source):
    assert unbacked(text, [source], language).why is None


@pytest.mark.parametrize(
    ("number", "value"),
    [("二十五", 25), ("两千", 2000), ("八八", 88), ("一百零三", 103), ("十", 10)],
)
def test_chinese_numbers_are_read(number, value):
    [figure] = read_figures(f"{number}公里", "zh")
    assert figure.value == value * 1000
