import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from generator.commands.main import generator_app as app
from generator.errors import BriefError, ChannelUnknown, TextsError
from tests.generator.conftest import BRIEFS

COFFEE = str(BRIEFS / "coffee.yaml")


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("Coffee worth getting up for\n\nwww.coffee now\nThe best coffee on earth\n")
    return path


def run(*arguments):
    return CliRunner().invoke(
        app, [str(argument) for argument in arguments], catch_exceptions=False
    )


def test_texts_of_ones_own_are_judged_with_reasons_and_a_report(texts):
    found = json.loads(run("screen", COFFEE, texts, "--format", "json").stdout)
    assert [text["code"] for text in found["texts"]] == [None, "markup", "unfounded"]
    rows = {row["gate"]: row for row in found["gates"]}
    assert (rows["markup"]["seen"], rows["markup"]["refused"]) == (3, 1)
    assert rows["unfounded"]["example"] == "The best coffee on earth"
    assert rows["duplicate"]["seen"] == 1


def test_the_table_tells_people_the_same(texts):
    said = run("screen", COFFEE, texts).stdout
    assert "passed" in said
    assert "markup" in said


def test_what_gates_prints_is_a_file_of_thresholds(texts, tmp_path):
    mine = tmp_path / "gates.yaml"
    mine.write_text(run("gates").stdout)
    assert yaml.safe_load(mine.read_text())["duplicate"]["alike"] == 92
    mine.write_text(mine.read_text().replace("skip: []", "skip: [markup]"))
    found = json.loads(run("screen", COFFEE, texts, "--gates", mine, "--format", "json").stdout)
    assert "markup" not in {row["gate"] for row in found["gates"]}


def test_texts_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(BriefError, match=r"nothing\.txt: cannot be read"):
        run("screen", COFFEE, Path(tmp_path / "nothing.txt"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_texts_are_read_as_their_first_bytes_say(tmp_path, encoding):
    path = tmp_path / "texts.txt"
    path.write_bytes("Coffee worth getting up for\r\nwww.coffee now\r\n".encode(encoding))
    found = json.loads(run("screen", COFFEE, path, "--format", "json").stdout)["texts"]
    assert [text["text"] for text in found] == ["Coffee worth getting up for", "www.coffee now"]


@pytest.mark.parametrize("data", ["Grüner Kaffee\n".encode("cp1252"), b"PK\x03\x04\0\0"])
def test_texts_in_no_known_encoding_have_a_code_of_their_own(tmp_path, data):
    path = tmp_path / "texts.txt"
    path.write_bytes(data)
    with pytest.raises(TextsError, match=r"texts\.txt: .*UTF-8") as caught:
        run("screen", COFFEE, path)
    assert caught.value.code == "texts_unreadable"
    assert "--encoding" not in str(caught.value)


@pytest.fixture
def search_ads(tmp_path):
    path = tmp_path / "brief.yaml"
    brief = {
        "product": "コーヒー豆の定期便",
        "language": "ja",
        "environment": {"channel": "google_rsa"},
        "constraints": {"required_claims": ["送料無料。"]},
    }
    path.write_text(yaml.safe_dump(brief, allow_unicode=True), encoding="utf-8")
    return path


def test_texts_are_counted_and_bounded_as_the_channel_does(search_ads, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("静かな朝に届く焙煎コーヒー\n静かな朝に届く焙煎コーヒーを自宅へ\n", "utf-8")
    found = json.loads(run("screen", search_ads, texts, "--format", "json").stdout)["texts"]
    assert [text["code"] for text in found] == [None, "length"]
    assert found[1]["reason"] == "34 units as the channel counts; at most 30"


def test_a_piece_is_judged_by_its_own_length_and_claims(search_ads, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("送料無料。静かな朝に届く焙煎コーヒーを自宅へ\n静かな朝に届く\n", "utf-8")
    for part in ("description", "description_2"):
        arguments = ("screen", search_ads, texts, "--part", part, "--format", "json")
        found = json.loads(run(*arguments).stdout)["texts"]
        assert [text["code"] for text in found] == [None, "required_claims"]
    with pytest.raises(ChannelUnknown, match="no part 'body'; expected one of headline, descript"):
        run("screen", search_ads, texts, "--part", "body")
