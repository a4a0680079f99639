"""The README's examples of taking ads in and out run, one after the other."""

import json
import os

import pytest
from typer.testing import CliRunner

from generator.commands.main import app
from generator.platforms.formats import read_ads
from tests.readme import ROOT, commands, section


@pytest.fixture
def here(tmp_path):
    os.symlink(ROOT / "generator", tmp_path / "generator")
    before = os.getcwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def test_the_ads_of_an_account_come_in_and_go_out(here):
    text = section("Bring the ads you have") + section("Take them where ads are booked")
    told = []
    for words in commands(text):
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, (words, done.output, done.exception)
        told.append(done.output)
    assert "3 new creatives" in told[0]
    assert "columns that nothing here reads: Cost" in told[0]
    assert "Light as a Letter" in told[1]
    source = [ad for _, ad in read_ads(here / "generator/platforms/examples/google-ads.csv").ads]
    booked = [ad for _, ad in read_ads(here / "ads.csv").ads]
    assert [ad.parts for ad in booked] == [ad.parts for ad in source if ad.status == "live"]
    assert len(json.loads((here / "ads.json").read_text())) == len(source)
    assert len((here / "native.jsonl").read_text().splitlines()) == len(booked)
