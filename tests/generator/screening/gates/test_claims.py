import pytest

from generator.brief.schema import Brief
from generator.screening.gates import claims, figures, promises
from tests.generator.screening.gates.conftest import BRIEF

GATES = {
    "against": lambda text: claims.against(text, BRIEF),
    "unfounded": lambda text: claims.unfounded(text, BRIEF.texts()),
    "unbacked": lambda text: figures.unbacked(text, BRIEF.texts()),
    "required": lambda text: claims.required({"headline": "Drive", "body": text}, ["Terms apply"]),
}
PASSED = {
    "against": [
        *("No airport queues", "Less waiting, more sleep", "You can't wait to go", "A night to go")
    ],
    "unfounded": [
        "Wake up in Stockholm",
        "From 49 euros, with Nordlys",
        "Free for children",
        "Sleep on it. Wake up there",
        "Sleep All The Way Home",
        "Stockholm's nights on a Friday",
    ],
    "unbacked": [
        *("From €49", "49 euros, breakfast included", "A cabin for two", "One more night")
    ],
    "required": [
        *("Drive safely. Terms apply", "Terms apply: drive", "Drive – Terms apply.", "Terms apply")
    ],
}
"""What speaks against other things, what the brief bears out, the same figure however it is
written, and a required claim anywhere as a sentence."""


@pytest.mark.parametrize(
    ("gate", "text"), [(gate, text) for gate, texts in PASSED.items() for text in texts]
)
def test_a_gate_lets_through(gate, text):
    assert GATES[gate](text).why is None


@pytest.mark.parametrize(
    "text",
    ["Less train", "Stop your journeys", "No more journeys", "Tired of trains?", "It is not a bed"],
)
def test_against_refuses_what_speaks_against_the_product(text):
    assert GATES["against"](text).why


def test_what_the_product_takes_away_may_be_spoken_against():
    brief = Brief(product="noise cancelling headphones", keywords=("stain remover",))
    assert claims.against("Music without the noise", brief).why is None
    assert claims.against("No more stains", brief).why is None
    assert claims.against("No more headphones", brief).why


@pytest.mark.parametrize(
    ("gate", "text", "missing"),
    [
        ("unfounded", "A night train to Paris", "paris"),
        ("unfounded", "The best beds on rails", "best"),
        ("unfounded", "Save money. Wake up in Rome", "rome"),
        ("unfounded", "Guaranteed sleep", "guaranteed"),
        ("unbacked", "From 39 euros a night", "39 euros"),
        ("unbacked", "Sleep for 1,000 nights", "1,000"),
        ("unbacked", "49% off", "49%"),
        ("unbacked", "49 nights", "49"),
        ("unbacked", "Half price this week", "Half price"),
        ("unbacked", "Ninety percent sleep through", "ninety"),
        ("unbacked", "Two hundred beds", "two hundred"),
        ("unbacked", "Twice the rest", "Twice"),
    ],
)
def test_words_and_figures_that_the_brief_does_not_say_are_refused(gate, text, missing):
    assert GATES[gate](text).why == f"the brief does not say {missing!r}"


@pytest.mark.parametrize(
    ("digits", "value"), [("1,049.50", 1049.5), ("1.049", 1049), ("3,5", 3.5), ("1,000,000", 1e6)]
)
def test_figures_read_either_separator(digits, value):
    [figure] = figures.read_figures(f"From {digits} euros")
    assert (figure.value, figure.unit) == (value, "money")


@pytest.mark.parametrize(
    "text",
    ["Drive. terms apply", "Drive. No Terms apply", "Drive. Terms applying", "Terms may apply"],
)
def test_required_claims_are_letter_for_letter(text):
    found = claims.required({"body": text}, ["Terms apply"])
    assert (found.score, found.why) == (1, "does not say 'Terms apply'")


@pytest.mark.parametrize(
    "text",
    [
        "周末开跑。活动截至11月30日。",
        "周末开跑，活动截至11月30日。",
        "活动截至11月30日。周末开跑",
        "【特惠】活动截至11月30日。",
        "“轻” 活动截至11月30日。",
    ],
)
def test_a_required_claim_is_found_after_signs_of_its_script(text):
    assert claims.required({"body": text}, ["活动截至11月30日。"]).why is None


@pytest.mark.parametrize(
    "text", ["本活动截至11月30日。", "活动截至11月30日止", "活动截至11月3日。"]
)
def test_a_required_claim_is_no_part_of_another_in_any_script(text):
    assert claims.required({"body": text}, ["活动截至11月30日"]).why


TRIAL = ["free 30-day trial", "no ads", "works with 40 banks"]
MADE = {
    "en": (
        TRIAL,
        ["Free for 30 Days", "Start Your Free Trial", "Ad-free budgeting", "Try It Free"],
    ),
    "de": (["kostenloser Versand ab 60 Euro"], ["Versand gratis ab 60 €", "Gratisversand"]),
    "es": (["primer mes gratis"], ["Empieza gratis el primer mes", "Un mes gratis"]),
    "fr": (["livraison offerte"], ["Livraison gratuite", "-20 % et livraison offerte"]),
    "zh": (["全场包邮", "周末限时5折"], ["现在下单，包邮到家", "周末特惠，轻装上阵"]),
    "ja": (
        ["送料無料", "30日間返金保証"],
        ["送料無料でお届け", "返金保証つき", "30日間返金保証付き", "返金保証付きで安心"],
    ),
    "ko": (["무료 배송"], ["무료배송으로 만나요"]),
}
NOT_MADE = {
    "en": ["Free Shipping & Returns", "Free Returns", "Pain-Free Banking", "Free Mug Inside",
           "Sugar-free money", "Money back, always", "Next-Day Delivery", "Free Yoga Class",
           "Big sale this week"],
    "de": ["Kostenlose Rückgabe", "Gratis testen", "Geld-zurück-Garantie", "0 % Finanzierung"],
    "es": ["Envío gratis", "Regalo incluido", "Garantía de por vida", "Recíbelo mañana"],
    "fr": ["Livraison gratuite et retours offerts", "Essai gratuit",
           "Satisfait ou remboursé", "Soldes d'hiver"],
    "zh": ["七天无理由退换", "免费试穿", "下单就送好礼", "假一赔十", "免息分期", "当日达"],
    "ja": ["返品無料", "初回無料", "全額返金", "翌日配送"],
    "ko": ["무료 반품", "사은품 증정", "당일 배송", "무이자 할부"],
}  # fmt: skip


@pytest.mark.parametrize("language", MADE)
def test_promises_that_the_brief_makes_pass(language):
    sources, texts = MADE[language]
    for text in texts:
        assert claims.unfounded(text, sources, language).why is None, text


@pytest.mark.parametrize("language", NOT_MADE)
def test_promises_of_another_kind_are_refused(language):
    sources = [*TRIAL, "kostenloser Versand", "primer mes gratis", "100 % mousse", "全场包邮",
               "送料無料", "무료 배송"]  # fmt: skip
    for text in NOT_MADE[language]:
        assert claims.unfounded(text, sources, language).why, text


@pytest.mark.parametrize(
    "text", ["送礼有面子", "中秋送礼佳选", "送礼自用两相宜", "过年送礼品味之选"]
)
def test_to_give_as_a_gift_promises_none(text):
    assert promises.unmade(text, [], "zh") == []


@pytest.mark.parametrize("text", ["下单就送好礼", "送赠品", "下单送礼", "满300送礼", "进店送礼"])
def test_a_gift_that_comes_with_an_order_is_promised(text):
    assert promises.unmade(text, [], "zh")


@pytest.mark.parametrize(
    ("language", "nothing", "some"),
    [
        ("zh", "0元试穿", "满300减500元"),
        ("ja", "送料0円", "送料500円"),
        ("ko", "배송비 0원", "배송비 3000원"),
        ("de", "0 % Finanzierung", "20 % Finanzierung"),
    ],
)
def test_nothing_is_promised_by_the_zeros_of_a_larger_number(language, nothing, some):
    assert promises.unmade(nothing, [], language)
    assert not any("0" in said for said in promises.unmade(some, [], language))
