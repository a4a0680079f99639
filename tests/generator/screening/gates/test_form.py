"""Gates of form in every language: what careful writers write passes, what breaks off does not."""

import pytest

from generator.brief.schema import Brief, Environment
from generator.screening.gates import form
from generator.screening.gates.language import SCRIPTS
from generator.screening.screen import CandidateText, Screen, clean

GOOD = {
    "en": [
        "Run Further. Feel Better.",
        "Run Light. Run Long.",
        "Free Shipping & Free Returns",
        "Save 50%! This weekend only",
        "Swiftly™ shoes, made for runners, by runners",
        "Better, day by day",
        "It gets “lighter”… almost",
        "24/7 – for £9",
        "Smart Homes for Smart People",
        "A Home Away From Home",
        "The long road is the fun road",
        "Come As You Are",
        "Something to look forward to",
        "Just like that",
        "Because we said so",
        "Where good bread comes from",
        "What was that?",
        "Shhh… Can You Hear That?",
        "Free shipping on $50+",
    ],
    "de": [
        "Bereit für dein Wochenende?",
        "„Leicht“ war nie so schnell",
        '„Leicht" war nie so schnell',
        "»Leicht« wie der Wind",
        "20 % Rabatt am Wochenende",
        "20\u00a0% Rabatt am Wochenende",
        "Wochenendlaufschuhe",
        "Lauf leicht. Lauf lang.",
        "Kennst du das?",
        "Schritt für Schritt zum Ziel",
        "Für alle, die die Natur lieben",
    ],
    "es": [
        "¿Listo para correr este fin de semana?",
        "¡Corre ligero este fin de semana!",
        "Corre más. Cansa menos.",
        "«Ligeras» como el viento",
        "¿Y si corres más? ¡Hazlo!",
        "El n.º 3 de tu equipo",
        "Cuando quieras, donde quieras",
        "Paso a paso, llegas",
    ],
    "fr": [
        "Courez plus loin\u202f!",
        "Courez plus loin !",
        "Prêt pour le week-end\u00a0?",
        "«\u00a0Légères\u00a0» comme l’air",
        "20\u202f% de remise",
        "Bien dormir\u00a0: c’est ici",
        "Ni trop ferme, ni trop mou",
        "Jour après jour",
    ],
    "zh": [
        "轻盈如风，周末开跑",
        "周末跑起来——轻装上阵",
        "【周末特惠】疾风跑鞋5折起",
        "“轻”到忘记穿鞋",
        "疾风·男士轻量跑鞋",
        "¥299起，周末开抢",
        "准备好周末开跑了吗？",
        "１９８克，轻！",
        "好鞋，一步一步走出来",
        "这就是你想要的",
        "天天新鲜，慢慢享受",
        "轻一点，快一点",
        "出发……就现在",
        "哈哈哈，周末到了",
    ],
    "ja": [
        "静かな朝に届く焙煎コーヒー",
        "毎朝の一杯を、自宅へお届け",
        "いつでも解約できる珈琲便",
        "「軽い」を、履く。",
        "もっと軽く、もっと遠くへ",
        "週末、走りませんか？",
        "50％オフ！",
        "朝活〜はじめよう",
        "ドキドキの週末",
    ],
    "ko": [
        "가벼운 러닝화로 주말을 달려보세요",
        "더 가볍게, 더 멀리",
        "지금 시작하세요!",
        "50% 할인",
    ],
}
BAD = {
    "en": [
        "Run with the",
        "Running, running, running",
        "The the coffee",
        "Better shoes, better shoes",
        "Wow!! Shoes",
        "Shoes ™ for you",
    ],
    "de": [
        "Laufschuhe für den",
        "Schuhe ohne Schuhe",
        "Der der leichte Schuh",
        "Lauf los!!",
        "Leicht ,schnell",
        "Läufer und",
    ],
    "es": [
        "Zapatillas para",
        "¿Listo para correr",
        "Correr por correr",
        "¡¡Corre!!",
        "Ligeras y",
        "El el café",
    ],
    "fr": [
        "Des chaussures pour les",
        "Courir, toujours courir",
        "Le le café du matin",
        "Vite , vite",
        "Vite  !!",
        "Avec vos",
    ],
    "zh": [
        "跑鞋跑鞋跑鞋跑鞋跑鞋",
        "我我的吃了跑鞋是在上个",
        "轻盈舒适的",
        "周末开跑，因为",
        "周末开跑，周末开跑",
        "轻量跑鞋，就是轻量跑鞋",
        "周末开跑，",
        "【周末特惠",
        "好睡好睡好睡好睡",
        "每天一杯，让您",
        "~~夏日特惠~~",
        "开跑！！！",
        "开跑 ，现在",
        "开跑😊吧",
        "开跑★吧",
    ],
    "ja": [
        "コーヒーコーヒーコーヒー",
        "毎朝の一杯が",
        "「静かな朝に",
        "走ろう！！",
        "軽いシューズと",
        "朝★活",
    ],
    "ko": [
        "러닝화 러닝화 러닝화",
        "가벼운 러닝화 그리고",
        "달려보세요!!",
        "주말을 위한",
        "러닝화,",
    ],
}


def judged(language, text):
    latin = language not in SCRIPTS
    findings = [
        form.empty(text),
        form.length(text, 60, "characters", 2, language),
        form.fragment(text, language),
        form.characters(text, latin=latin, language=language),
        form.repeats(text, language),
    ]
    return [finding.why for finding in findings if finding.why]


@pytest.mark.parametrize(("language", "text"), [(k, t) for k, ts in GOOD.items() for t in ts])
def test_what_a_careful_writer_writes_passes(language, text):
    assert judged(language, text) == []


@pytest.mark.parametrize(("language", "text"), [(k, t) for k, ts in BAD.items() for t in ts])
def test_what_breaks_off_repeats_or_is_wrongly_punctuated_is_refused(language, text):
    assert judged(language, text)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ja", "29,800円が、今だけ19,800円"),
        ("ko", "정가 298,000원, 지금 198,000원"),
        ("ko", "9,900원부터, 19,900원까지"),
        ("zh", "只要1,000元，立减1,000元"),
        ("zh", "原价1,398元，现价1,199元"),
    ],
)
def test_prices_are_not_cut_at_the_comma_of_their_thousands(language, text):
    assert judged(language, text) == []


@pytest.mark.parametrize("language", ["zh", "ja", "ko", "de"])
def test_a_lone_short_word_is_too_little_in_any_language(language):
    word = {"zh": "跑鞋", "ja": "朝", "ko": "러닝", "de": "Schuhe"}[language]
    assert "1 word" in form.length(word, 60, "characters", 2, language).why


@pytest.mark.parametrize(
    ("channel", "text", "code"),
    [
        ("push", "Run today 🏃‍♀️☀️", None),
        ("push", "🔥 Fresh coffee today", None),
        ("push", "Run today 🔥🔥🔥🔥", "characters"),
        ("google_rsa", "Run today 🔥", "characters"),
        (None, "Run today 🔥", "characters"),
    ],
)
def test_emoji_pass_where_the_channel_takes_them(channel, text, code):
    brief = Brief(product="coffee to run on", environment=Environment(channel=channel))
    [verdict] = Screen(brief).judge([CandidateText(text)])
    assert (verdict.rejection and verdict.rejection.code) == code


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("「静かな朝に届く」", "静かな朝に届く"),
        ("“轻盈如风，周末开跑”", "轻盈如风，周末开跑"),
        ('"轻盈如风，周末开跑"', "轻盈如风，周末开跑"),
        ("“轻”到忘记穿鞋", "“轻”到忘记穿鞋"),
        ("«\u00a0Courez plus loin\u202f!\u00a0»", "Courez plus loin\u202f!"),
        ("„Bereit für dein Wochenende?“", "Bereit für dein Wochenende?"),
        ("『“가볍게”』\n설명", "가볍게"),
    ],
)
def test_quotes_around_an_answer_are_taken_off(answer, text):
    assert clean(answer)[0] == text
