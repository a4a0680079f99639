"""Every kind of file: what is written of ads reads as the same ads."""

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw
from msgspec.structs import replace

from generator.errors import AdsFileError
from generator.platforms.ads import Ad
from generator.platforms.formats import KINDS, read_ads, write_ads
from generator.platforms.openrtb import read_request
from streams.events import AdDetails, Lineage
from streams.events.placement import Caps

SIGNS = st.sampled_from("aB é寝한,;\t\n\r\"'=+-@(|!#{}[]\u2028\u00a0👾\x00")
NASTY = st.text(SIGNS | st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
TEXT = NASTY.filter(str.strip)
NAMES = TEXT.map(str.strip).filter(bool)
URLS = st.text(string.ascii_letters + "/?=&%-日", max_size=12).map("https://example.org/".__add__)
STATUS = st.sampled_from(["live", "paused"])


def short(most):
    """Texts that fit, however their characters are counted."""
    return TEXT.filter(lambda text: 2 * len(text) <= most and text.strip() not in ("[]", "--"))


@st.composite
def search_ads(draw):
    headlines = draw(st.lists(short(30), min_size=3, max_size=15))
    descriptions = draw(st.lists(short(90), min_size=2, max_size=4))
    parts = {f"headline_{n}": text for n, text in enumerate(headlines, 1)}
    parts |= {f"description_{n}": text for n, text in enumerate(descriptions, 1)}
    pins = {
        part: draw(st.integers(1, 3 if part.startswith("headline") else 2))
        for part in draw(st.sets(st.sampled_from(sorted(parts))))
    }
    ad = AdDetails(
        final_url=draw(URLS),
        display_path=tuple(draw(st.lists(short(15), max_size=2))),
        pins=pins,
        booked=draw(st.dictionaries(st.sampled_from(["Campaign", "Ad Group", "Labels"]), TEXT)),
    )
    return Ad(parts=parts, ad=ad, status=draw(STATUS))


META_ADS = st.builds(
    Ad,
    parts=st.dictionaries(
        st.sampled_from(["primary_text", "headline", "description"]), TEXT, min_size=1
    ),
    ad=st.builds(
        AdDetails,
        final_url=URLS | st.none(),
        display_path=st.lists(TEXT, max_size=1).map(tuple),
        call_to_action=st.sampled_from(["SHOP_NOW", "LEARN_MORE", None]),
        image=TEXT | st.sampled_from(["ab12" * 8, None]),
        booked=st.dictionaries(st.sampled_from(["Campaign Name", "Ad Set Name", "Ad Name"]), TEXT),
    ),
    status=STATUS,
)
DETAILS = st.builds(
    AdDetails,
    final_url=URLS | st.none(),
    display_path=st.lists(TEXT, max_size=2).map(tuple),
    call_to_action=TEXT | st.none(),
    image=TEXT | st.none(),
    pins=st.dictionaries(NAMES, st.integers(1, 9), max_size=2),
    booked=st.dictionaries(NAMES, TEXT, max_size=3),
)
PARTS = st.dictionaries(
    NAMES | st.sampled_from(["headline", "id", "status", "part:x"]), TEXT, min_size=1, max_size=4
)
PLAIN_ADS = st.builds(
    Ad,
    parts=PARTS,
    ad=DETAILS,
    id=TEXT | st.none(),
    status=STATUS | st.sampled_from(["proposed", "retired"]),
    impressions=st.integers(5, 2**40),
    clicks=st.integers(0, 5),
)
OWN_ADS = st.builds(
    replace,
    PLAIN_ADS,
    features=st.sampled_from([UNSET, Raw(b'{"tone":{"calm":1}}')]),
    caps=st.sampled_from([UNSET, Caps(total=3)]),
    reason=TEXT | st.none(),
    lineage=st.sampled_from([Lineage(), Lineage(model="m", parts={"a": Lineage(seed=1)})]),
)
NATIVE_ADS = st.builds(
    replace,
    PLAIN_ADS,
    parts=PARTS.map({"headline": "Hi"}.__or__),
    ad=DETAILS.map(lambda ad: replace(ad, final_url="https://a.b")),
)
ADS = {
    "google-ads": search_ads(),
    "meta": META_ADS,
    "csv": PLAIN_ADS,
    "json": OWN_ADS,
    "openrtb-native": NATIVE_ADS,
}
SPEAKING = Ad(
    parts={"headline_1": "-50 % today", "headline_2": "b", "headline_3": "c"}
    | {"description_1": "d", "description_2": "=e"},
    ad=AdDetails(final_url="https://example.org", pins={"headline_1": 1}),
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_round_trip_loses_nothing(kind, data, tmp_path_factory):
    ads = data.draw(st.lists(ADS[kind], min_size=1, max_size=3))
    file = tmp_path_factory.getbasetemp() / f"round-trip-{kind}"
    file.write_bytes(write_ads(ads, kind))
    assert [ad for _, ad in read_ads(file, kind).ads] == ads


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("encoding", [None, "utf-8", "utf-16"])
def test_a_kind_is_told_by_its_content(tmp_path, kind, encoding):
    parts = {"primary_text": "Run, further", "headline": "Light"}
    ad = SPEAKING if kind == "google-ads" else Ad(parts=parts, ad=SPEAKING.ad)
    ad = ad if kind != "meta" else replace(ad, ad=replace(ad.ad, pins={}))
    file = tmp_path / "ads"
    file.write_bytes(write_ads([ad], kind, encoding=encoding))
    [(_, found)] = read_ads(file).ads
    assert found == ad


def test_editor_gets_what_it_imports():
    data = write_ads([SPEAKING], "google-ads")
    assert data.startswith(b"\xff\xfe")
    header, row = (line.split("\t") for line in data.decode("utf-16").splitlines())
    cells = dict(zip(header, row, strict=True))
    assert (cells["Headline 1"], cells["Headline 1 position"]) == ("-50 % today", "1")
    assert (cells["Ad type"], cells["Status"]) == ("Responsive search ad", "Enabled")
    assert cells["Description 2"] == "'=e"
    assert "=e\t" in write_ads([SPEAKING], "google-ads", guard=False).decode("utf-16")


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        ("google-ads", {"parts": {"headline": "Hi"}}, "part 'headline' has no column"),
        ("google-ads", {"parts": {"headline_1": "x" * 31}}, "has 31 characters; 30 at most"),
        ("google-ads", {"parts": {"headline_1": "寝" * 16}}, "has 32 characters; 30 at most"),
        ("google-ads", {"parts": {"headline_1": "x"}}, "it has 1 of headline; 3 at least"),
        ("google-ads", {"ad": AdDetails()}, "no final_url"),
        ("google-ads", {"status": "retired"}, "it is retired"),
        (
            "google-ads",
            {"ad": AdDetails(final_url="https://a.b", display_path=("x" * 16,))},
            "x' is",
        ),
        (
            "google-ads",
            {"ad": AdDetails(final_url="https://a.b", pins={"description_2": 3})},
            "at 3",
        ),
        (
            "google-ads",
            {"ad": AdDetails(final_url="https://a.b", image="a.png")},
            "has image, which a Google",
        ),
        ("google-ads", {"ad": AdDetails(final_url="https://a.b", booked={"Cost": "1"})}, "'Cost'"),
        ("meta", {}, "part 'headline_1' has no column"),
        ("meta", {"parts": {"headline": "Hi"}}, "has pins, which a Meta"),
        ("csv", {"parts": {" a": "Hi"}}, "begins or ends with a space"),
        ("openrtb-native", {"ad": AdDetails()}, "no final_url"),
        ("openrtb-native", {"parts": {"headline": "x" * 141}}, "141 characters; 140 at most"),
        ("json", {"parts": {"headline": ""}}, "headline is blank"),
    ],
)
def test_what_a_platform_cannot_hold_is_refused_by_creative(kind, change, why):
    with pytest.raises(AdsFileError, match=why) as caught:
        write_ads(
            [
                SPEAKING
                if kind in ("google-ads", "csv", "json")
                else Ad(parts={"headline": "Hi"}, ad=AdDetails(final_url="https://a.b")),
                replace(SPEAKING, id="b", **change),
            ],
            kind,
        )
    assert "creative b: " in str(caught.value)
    assert caught.value.code == "ads_file_invalid"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("{KeyWord:Running Shoes} that last", True),
        ("{KeyWord:Running Shoes} that last for years", False),
        ("{COUNTDOWN(2030-01-01 00:00:00,5)} days left", True),
    ],
)
def test_an_insertion_counts_as_what_stands_in_for_it(text, fits):
    ad = replace(SPEAKING, parts=SPEAKING.parts | {"headline_1": text})
    if fits:
        assert write_ads([ad], "google-ads")
        return
    with pytest.raises(AdsFileError, match="has 33 characters"):
        write_ads([ad], "google-ads")


def test_native_answers_fill_what_an_exchange_asks_for(tmp_path):
    request = tmp_path / "request.json"
    request.write_text(json.dumps({"native": {"ver": "1.2", "assets": [
        {"id": 123, "required": 1, "title": {"len": 25}},
        {"id": 128, "required": 0, "img": {"wmin": 836, "hmin": 627, "type": 3}},
        {"id": 126, "required": 1, "data": {"type": 1, "len": 25}},
        {"id": 127, "required": 1, "data": {"type": 2, "len": 140}},
    ]}}))  # fmt: skip
    wanted = read_request(request)
    ad = Ad(
        parts={"headline": "Light shoes", "description": "Run far.", "business_name": "Acme"},
        ad=AdDetails(final_url="https://example.org", image="https://example.org/a.png"),
    )
    answer = json.loads(write_ads([ad], "openrtb-native", wanted=wanted))
    assert answer["ver"] == "1.2"
    assert answer["link"] == {"url": "https://example.org"}
    assert answer["assets"] == [
        {"id": 123, "title": {"text": "Light shoes"}},
        {"id": 128, "img": {"type": 3, "url": "https://example.org/a.png"}},
        {"id": 126, "data": {"type": 1, "value": "Acme"}},
        {"id": 127, "data": {"type": 2, "value": "Run far."}},
    ]
    without = replace(ad, parts={"headline": "Light shoes"})
    with pytest.raises(AdsFileError, match="nothing for asset 126, which is required"):
        write_ads([without], "openrtb-native", wanted=wanted)


def test_somebody_else_s_native_ad_is_read_by_its_assets(tmp_path):
    file = tmp_path / "native.json"
    file.write_text(json.dumps({"native": {"link": {"url": "https://a.b"}, "assets": [
        {"id": 1, "title": {"text": "Light shoes"}},
        {"id": 2, "data": {"type": 2, "value": "Run far."}},
        {"id": 3, "data": {"type": 12, "value": "Buy"}},
    ]}}))  # fmt: skip
    [(_, ad)] = read_ads(file).ads
    assert ad.parts == {"headline": "Light shoes", "description": "Run far."}
    assert ad.ad == AdDetails(final_url="https://a.b", call_to_action="Buy")
