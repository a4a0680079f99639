"""Files as platforms export them, with all that is in them besides ads."""

import json

import pytest

from generator.errors import AdsFileError
from generator.platforms.ads import Ad
from generator.platforms.formats import kind_of, read_ads, write_ads
from streams.events import AdDetails

EDITOR = """\
Campaign\tCampaign Type\tAd Group\tKeyword\tAd type\tHeadline 1\tHeadline 1 position\tHeadline 2\t\
Headline 3\tDescription 1\tDescription 2\tPath 1\tPath 2\tFinal URL\tStatus\tApproval Status
Spring\tSearch\t\t\t\t\t\t\t\t\t\t\t\t\tEnabled\t
Spring\t\tShoes\trunning shoes\t\t\t\t\t\t\t\t\t\t\tEnabled\t
Spring\t\tShoes\t\tResponsive search ad\tLight Shoes\t1\tRun Far\tTry Them\tSo light.\t\
So far.\trun\t\thttps://example.org/a\tEnabled\tApproved
Spring\t\tShoes\t\tExpanded text ad\tOld\t\tOld\t\tOld\t\t\t\thttps://example.org/a\tEnabled\t
Spring\t\tShoes\t\tResponsive search ad\tGone\t\tGone\t\t\t\t\t\thttps://example.org\tRemoved\t
Spring\t\tBoots\t\tResponsive search ad\t-20 % on Boots\t -\tWarm\t[]\tDry.\tWarm.\t\t\t\
https://example.org/b\tPaused\tApproved
"""
REPORT = """\
Ad report
1 January 2026 - 31 March 2026
Ad status;Campaign;Ad group;Headline 1;Headline 2;Headline 3;Description 1;Final URL;Impr.;\
Clicks;CTR
Enabled;Frühling;Schuhe;Leichte Schuhe;Weit laufen;Jetzt testen;So leicht.;https://example.org;\
12.345;1.234;10,00 %
Total: ads; --; --; --; --; --; --; --;12.345;1.234;10,00 %
"""


def written(tmp_path, text, encoding="utf-8"):
    file = tmp_path / "ads.csv"
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8", "utf-8-sig"])
def test_an_export_of_editor_is_read_for_its_responsive_search_ads(tmp_path, encoding):
    found = read_ads(written(tmp_path, EDITOR, encoding))
    (first, shoes), (second, boots) = found.ads
    assert (first, second) == (4, 7)
    assert shoes.parts == {
        "headline_1": "Light Shoes", "headline_2": "Run Far", "headline_3": "Try Them",
        "description_1": "So light.", "description_2": "So far.",
    }  # fmt: skip
    assert shoes.ad.pins == {"headline_1": 1}
    assert shoes.ad.display_path == ("run",)
    assert shoes.ad.booked == {"Campaign": "Spring", "Ad Group": "Shoes"}
    assert (shoes.status, boots.status) == ("live", "paused")
    assert boots.parts["headline_1"] == "-20 % on Boots"
    assert "headline_3" not in boots.parts
    assert boots.ad.pins == {}
    assert sum(found.skipped.values()) == 4
    assert found.left_out == ("Approval Status",)


def test_a_report_of_ads_brings_its_figures(tmp_path):
    [(number, ad)] = read_ads(written(tmp_path, REPORT)).ads
    assert number == 4
    assert (ad.impressions, ad.clicks) == (12_345, 1_234)
    assert ad.ad.booked == {"Campaign": "Frühling", "Ad group": "Schuhe"}


META = """\
Campaign Name,Ad Set Name,Ad Name,Ad Status,Title,Body,Link Description,Link,Call to Action,\
Image Hash,Impressions,Link Clicks,Amount Spent
Spring,Runners,One,ACTIVE,Light shoes,"Run further, lighter.",60 nights,https://example.org,\
SHOP_NOW,0123456789abcdef0123456789abcdef,1000,20,3.5
Spring,Runners,,,,,,,,,,,
Spring,Runners,Two,PAUSED,Boots,Warm feet.,,https://example.org,Learn more,,,,
Spring,Runners,Three,ARCHIVED,Old,Old.,,https://example.org,,,,,
"""


def test_a_sheet_of_meta_is_read(tmp_path):
    found = read_ads(written(tmp_path, META))
    [(_, one), (_, two)] = found.ads
    assert one.parts["primary_text"] == "Run further, lighter."
    assert one.ad.image == "0123456789abcdef0123456789abcdef"
    assert one.ad.booked["Ad Set Name"] == "Runners"
    assert (one.impressions, one.clicks) == (1000, 20)
    assert (two.status, two.ad.call_to_action) == ("paused", "LEARN_MORE")
    assert sum(found.skipped.values()) == 2
    assert found.left_out == ("Amount Spent",)


def test_a_plain_table_is_read_by_the_names_of_parts(tmp_path):
    text = "Headline,Final URL,part:Slogan,pin:headline,Team,Impressions,Clicks\nHi,https://a.b,Go,1,Ada,10,1\n"
    [(_, ad)] = read_ads(written(tmp_path, text)).ads
    assert ad.parts == {"headline": "Hi", "Slogan": "Go"}
    assert ad.ad.pins == {"headline": 1}
    assert ad.ad.booked == {"Team": "Ada"}
    assert (ad.impressions, ad.clicks) == (10, 1)


def test_lines_of_texts_are_a_table_of_one_column(tmp_path):
    text = "headline\nWarm feet, all winter\n“轻”跑鞋，新品上市\n"
    texts = [ad.parts["headline"] for _, ad in read_ads(written(tmp_path, text)).ads]
    assert texts == ["Warm feet, all winter", "“轻”跑鞋，新品上市"]


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ([{"parts": {"headline": "Hi"}}], 1),
        ({"creatives": [{"parts": {"headline": "Hi"}, "status": "paused"}]}, 1),
        ({"items": [{"id": "a", "placement": "p", "etag": "x", "timestamp_ms": 1, "caps": None,
                     "parts": {"headline": "Hi"}}], "next": None}, 1),
        ({"accepted": [{"parts": {"headline": "Hi"}, "lineage": {"model": "m"}}], "usage": {}}, 1),
    ],
)  # fmt: skip
def test_json_of_ours_is_read_wherever_it_is_from(tmp_path, content, count):
    assert len(read_ads(written(tmp_path, json.dumps(content))).ads) == count


@pytest.mark.parametrize(
    ("text", "whys"),
    [
        (
            "headline,impressions,clicks\nA,10,x\nB,1,1\nC,1,2\n",
            ["row 2: clicks is 'x'", "row 4: clicks is 2, more than its 1"],
        ),
        ("headline,impressions,clicks\nA,,3\n", ["row 2: clicks is 3 and there are no impr"]),
        ("headline,impressions,clicks\nA,-3,1\n", ["row 2: impressions is '-3'"]),
        ("headline,impressions,clicks\nA,1.5,1\n", ["row 2: impressions is '1.5'"]),
        ("headline,final_url\nA,javascript:alert(1)\n", ["row 2: final_url is 'javascript:"]),
        ("headline,status\nA,shown\n", ["row 2: status is 'shown'; expected one of"]),
        ("headline,pin:headline\nA,0\n", ["row 2: pin:headline is '0'"]),
        ("id,headline\nx,\ny,Hi\n", ["row 2: Expected `object` of length >= 1"]),
        (EDITOR.replace("\t1\t", "\t7\t"), ["row 4: Headline 1 position is '7'; expected 1 to 3"]),
        (EDITOR.replace("Paused", "Stopped"), ["row 7: Status is 'Stopped'"]),
        (META.replace("ACTIVE", "ON"), ["row 2: Ad Status is 'ON'"]),
        ('[{"parts": {"headline": ""}}]', ["row 1: Expected `str` of length >= 1"]),
        ('[{"parts": {"headline": " "}}]', ["row 1: headline is blank"]),
        ('[{"parts": {"headline": "a"}, "clicsk": 1}]', ["row 1: clicsk: there is no such field"]),
        ('[{"parts": {"headline": "a"}, "features": {"x": [null]}}]', ["row 1: x.0 is null"]),
    ],
)  # fmt: skip
def test_bad_rows_are_named_by_number_and_nothing_is_read(tmp_path, text, whys):
    with pytest.raises(
        AdsFileError, match="rows cannot be read, and nothing was taken in"
    ) as caught:
        read_ads(written(tmp_path, text))
    for why in whys:
        assert why in str(caught.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n1,2\n", "no header was found"),
        ("{}", "has nothing; expected an array"),
        ('{"creatives": 1}', "creatives: "),
        ("[{", "not an array of creatives"),
        ("headline\n", "no ad is in it"),
        (EDITOR.splitlines()[0] + "\nSpring" + "\t" * 15 + "\n", "no ad is in it (1 rows without"),
    ],
)
def test_files_without_ads_are_told(tmp_path, text, why):
    with pytest.raises(AdsFileError) as caught:
        read_ads(written(tmp_path, text))
    assert why in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(AdsFileError, match="cannot be read"):
        read_ads(tmp_path / "gone.csv")


def test_only_the_first_of_many_bad_rows_are_told(tmp_path):
    text = "headline,clicks\n" + "A,x\n" * 50
    with pytest.raises(AdsFileError, match="50 of 50 rows") as caught:
        read_ads(written(tmp_path, text))
    assert str(caught.value).splitlines()[-2:] == [
        "row 21: clicks is 'x'; expected a whole number, such as 1200",
        "and 30 more",
    ]


@pytest.mark.parametrize(
    ("parts", "booked"),
    [
        ({"headline_1": "Hi", "headline_2": "Ho"}, {}),
        ({"headline_1": "Hi", "headline_2": "Ho"}, {"path_1": "x", "Campaign": "Kampagne"}),
        ({"title": "Hi", "body": "Ho"}, {"Kampagne": "a", "Anzeigentitel 1": "b"}),
        ({"Slogan": "Hi"}, {"Headline 1": "x", "Headline 2": "y"}),
    ],
)
@pytest.mark.parametrize("status", ["live", "paused", "rejected"])
def test_a_table_of_ours_is_told_from_those_of_platforms(tmp_path, parts, booked, status):
    ad = Ad(parts=parts, id="1", status=status, ad=AdDetails(booked=booked))
    file = tmp_path / "ours.csv"
    file.write_bytes(write_ads([ad], "csv"))
    assert [found for _, found in read_ads(file).ads] == [ad]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("headline_1,headline_2,description_1", "csv"),
        ("Headline 1,Headline 2,Status", "google-ads"),
        ("headline_1,headline_2,path_1,Ad type", "google-ads"),
        ("headline_1,headline_1_position,headline_2", "google-ads"),
        ("Title,Body,Ad Status", "meta"),
    ],
)
def test_a_kind_is_told_by_the_letter_of_its_header(tmp_path, header, kind):
    assert kind_of(tmp_path, header + "\n") == kind


def test_an_error_names_a_kind_that_was_guessed(tmp_path):
    file = written(tmp_path, EDITOR.replace("Paused", "live"))
    guessed = r"taken for google-ads \(if it is another kind, name it by --from\): 1 of"
    with pytest.raises(AdsFileError, match=guessed):
        read_ads(file)
    with pytest.raises(AdsFileError) as told:
        read_ads(file, "google-ads")
    assert "--from" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('headline,id\nA,1\n"B,2\nC,3\nD,4\n', "row 3 (line 3) opens a quote"),
        ('headline,id\nA,1\nB,"2\n', "row 3 (line 3) opens a quote"),
        ('headline,id\nA,1\n"B,2\n"C",3\n', "row 3 (line 3) opens a quote"),
        ('headline,id\n"A\nB",1\nB,"2', "row 3 (line 4) opens a quote"),
        ('headline\tid\nA\t1\n"B\t2\nC\t3\n', "row 3 (line 3) opens a quote"),
    ],
)
def test_what_would_swallow_rows_or_text_is_refused_by_row(tmp_path, text, why):
    with pytest.raises(AdsFileError) as caught:
        read_ads(written(tmp_path, text))
    assert why in str(caught.value)


def test_quotes_inside_a_line_and_cells_of_several_lines_are_read(tmp_path):
    text = 'headline,id\n"Best" shoes,1\n5" screens,2\n"Two\nlines, ""quoted""",3\n"Last" one,4'
    texts = [ad.parts["headline"] for _, ad in read_ads(written(tmp_path, text)).ads]
    assert texts == ["Best shoes", '5" screens', 'Two\nlines, "quoted"', "Last one"]


def test_only_columns_that_were_not_read_are_told(tmp_path):
    assert read_ads(written(tmp_path, REPORT)).left_out == ("CTR",)
    both = (
        REPORT.replace(";CTR", ";Impressions").replace(";10,00 %", ";7").replace("1.234;7", "3;7")
    )
    found = read_ads(written(tmp_path, both))
    assert found.left_out == ("Impr.",)
    assert found.ads[0][1].impressions == 7
    sheet = META.replace("Amount Spent", "Clicks (all)").replace(",3.5", ",30")
    found = read_ads(written(tmp_path, sheet))
    assert (found.left_out, found.ads[0][1].clicks) == (("Clicks (all)",), 20)


@pytest.mark.parametrize(
    "header",
    [
        "Kampagne,Anzeigengruppe,Anzeigentitel 1,Anzeigentitel 2,Textzeile 1,Finale URL",
        "キャンペーン,広告グループ,広告見出し 1,広告見出し 2,説明文 1,最終ページ URL",
        "Campagne,Groupe d'annonces,Titre 1,Titre 2,Description 1,Description 2",
        "Kampagnenname,Anzeigenname,Titel,Link",
    ],
)
@pytest.mark.parametrize("kind", [None, "google-ads"])
def test_headers_in_another_language_are_told_with_the_way_out(tmp_path, header, kind):
    row = ",".join("abcdef"[: header.count(",") + 1])
    with pytest.raises(AdsFileError, match="only English headers are read; set the language of"):
        read_ads(written(tmp_path, f"{header}\n{row}\n"), kind)


def test_a_plain_table_keeps_columns_in_any_language_beside(tmp_path):
    [(_, ad)] = read_ads(written(tmp_path, "Kampagne,Headline,Team 1,Team 2\nA,Hi,x,y\n")).ads
    assert ad.ad.booked == {"Kampagne": "A", "Team 1": "x", "Team 2": "y"}
