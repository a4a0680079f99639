import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from generator.commands.main import generator_app as app
from generator.errors import BriefError
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


def test_texts_are_counted_and_bounded_as_the_piece_of_the_channel_is(tmp_path):
    brief, lines = tmp_path / "brief.yaml", tmp_path / "texts.txt"
    brief.write_text(
        "product: 男士轻量跑鞋\nlanguage: zh\nfacts: [透气网面]\n"
        "environment: {channel: google_rsa}\n"
        'constraints: {required_claims: ["活动截至11月30日。"]}\n',
        encoding="utf-8",
    )
    lines.write_text("透气网面，跑得更久\n透气网面的轻量跑鞋，让周末跑得更久\n", encoding="utf-8")
    found = json.loads(run("screen", brief, lines, "--format", "json").stdout)
    assert [text["code"] for text in found["texts"]] == [None, "length"]
    assert "34 units as the channel counts; at most 30" in found["texts"][1]["reason"]
    lines.write_text(
        "透气网面的轻量跑鞋，让周末跑得更久。\n轻装上阵。活动截至11月30日。\n", encoding="utf-8"
    )
    screened = run("screen", brief, lines, "--piece", "description", "--format", "json").stdout
    assert [text["code"] for text in json.loads(screened)["texts"]] == ["required_claims", None]
    with pytest.raises(BriefError, match=r"'body' is none of a .*; expected one of headline, desc"):
        run("screen", brief, lines, "--piece", "body")
