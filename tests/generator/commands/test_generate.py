import json

import pytest
import typer

from generator.brief.schema import brief_hash, load_brief
from generator.commands.generate import Order, generate
from generator.errors import BriefError, MaterialError
from generator.settings import NOTHING_MADE
from tests.generator.conftest import BRIEFS
from tests.generator.scripted import Scripted

COFFEE = BRIEFS / "coffee.yaml"


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    lines = [' warm and slow"', ' www.beans"', ' [calm] and bright"', ' calm and easy"']
    monkeypatch.setattr("generator.models.opening.open_backend", lambda models: Scripted(lines))


def test_json_holds_every_text_with_its_lineage(capsys):
    generate(Order(COFFEE, n=2), "json")
    found = json.loads(capsys.readouterr().out)
    assert len(found["accepted"]) == 2
    for row in found["accepted"]:
        assert set(row) == {"parts", "lineage"}
        assert set(row["lineage"]) == {
                "model", "prompt", "frame", "segment", "seed", "brief", "scores",
            }  # fmt: skip
        assert row["lineage"]["brief"] == brief_hash(load_brief(COFFEE))
        assert (row["lineage"]["model"], row["lineage"]["seed"]) == ("scripted", 1)
    assert {"markup", "characters"} <= {row["code"] for row in found["rejected"]}
    for row in found["rejected"]:
        assert set(row) == {"part", "text", "code", "reason", "lineage"}
    assert found["left_over"] == []
    assert found["usage"]["requests"] > 0


def test_the_same_seed_prints_the_same(capsys):
    printed = []
    for seed in (4, 4, 5):
        generate(Order(COFFEE, n=2, seed=seed), "json")
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != printed[2]


def test_tables_show_what_was_accepted_and_why_the_others_were_not(tmp_path, capsys):
    winners = tmp_path / "winners.txt"
    winners.write_text("Keep your coffee hot\n\n  Mornings that last \n")
    generate(Order(COFFEE, n=3, winners=winners))
    printed = capsys.readouterr().out
    for expected in ("accepted", "refused", "winner: ", "has 'www.'", "[calm]", "3 of "):
        assert expected in printed


def test_winners_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(BriefError, match=r"none\.txt: cannot be read"):
        generate(Order(COFFEE, n=1, winners=tmp_path / "none.txt"))


def test_a_channel_s_creative_is_shown_part_by_part(tmp_path, capsys):
    brief = tmp_path / "brief.yaml"
    brief.write_text(COFFEE.read_text().replace("environment:", "environment:\n  channel: push"))
    generate(Order(brief, n=1))
    printed = capsys.readouterr().out
    assert "title" in printed
    assert "body" in printed


def test_material_beside_the_brief_is_looked_at(tmp_path, capsys):
    text = COFFEE.read_text()
    brief = tmp_path / "brief.yaml"
    brief.write_text(f"{text}material:\n- kind: image\n  file: gone.png\n")
    with pytest.raises(MaterialError, match=r"there is no file .*gone\.png"):
        generate(Order(brief, n=1))


def test_a_segment_that_is_treated_worse_is_told(tmp_path, capsys, monkeypatch):
    class ToldApart(Scripted):
        """Writes well for one segment, and a harmful line for the other."""

        def complete(self, prompts, sampling, *, seed, adapter=None, progress=None):
            written = super().complete(prompts, sampling, seed=seed, adapter=adapter)
            harmful = ' not for old people"'
            return [
                done._replace(text=harmful) if "pensioners" in prompt else done
                for prompt, done in zip(prompts, written, strict=True)
            ]

    monkeypatch.setattr(
        "generator.models.opening.open_backend", lambda models: ToldApart([' calm"'])
    )
    brief = tmp_path / "brief.yaml"
    brief.write_text(
        "version: 2\nproduct: coffee\nkeywords: [coffee, mornings]\nsegments:\n"
        "  - {name: young, who: students}\n  - {name: old, who: pensioners}\n"
    )
    generate(Order(brief, n=4), "json")
    rows = {row["segment"]: row for row in json.loads(capsys.readouterr().out)["segments"]}
    assert rows["young"]["harmful"] == 0
    assert rows["old"]["harmful"] > 0
    assert "harmful or against the rules" in rows["old"]["concerns"][0]
    generate(Order(brief, n=4))
    assert "segment old" in capsys.readouterr().out


def test_a_shortfall_is_told_with_its_reasons(monkeypatch, capsys):
    lines = [' warm and slow"', ' www.beans"']
    monkeypatch.setattr("generator.models.opening.open_backend", lambda models: Scripted(lines))
    monkeypatch.setattr("generator.writing.texts.CANDIDATES_PER_TEXT", 1)
    generate(Order(COFFEE, n=16, over=1.0), "json")
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["asked"] == 16
    assert 0 < found["made"] == len(found["accepted"]) < 16
    assert printed.err.splitlines()[-1] == found["shortfall"]
    assert found["shortfall"].startswith(f"16 asked, {found['made']} made: ")
    assert "texts refused as markup" in found["shortfall"]


def test_a_model_that_only_repeats_itself_is_told_in_the_shortfall(monkeypatch, capsys, tmp_path):
    class Whole(Scripted):
        def complete(self, prompts, sampling, **rest):
            return [c._replace(whole=True) for c in super().complete(prompts, sampling, **rest)]

    model = Whole([f"Coffee for {word} mornings" for word in ("slow", "calm", "warm", "kind")])
    monkeypatch.setattr("generator.models.opening.open_backend", lambda models: model)
    brief = tmp_path / "brief.yaml"
    brief.write_text("product: coffee\nenvironment: {channel: google_rsa}\n")
    with pytest.raises(typer.Exit):
        generate(Order(brief, n=4), "json")
    found = json.loads(capsys.readouterr().out)
    assert found["shortfall"].startswith("4 asked, 0 made: ")
    assert "of headline and description the model only repeated" in found["shortfall"]
    assert len(model.asked) < 300


def test_no_creative_at_all_is_an_exit_code(monkeypatch, capsys):
    scripted = Scripted([' www.beans"'])
    monkeypatch.setattr("generator.models.opening.open_backend", lambda models: scripted)
    with pytest.raises(typer.Exit) as caught:
        generate(Order(COFFEE, n=1), "json")
    assert caught.value.exit_code == NOTHING_MADE
    assert "1 asked, 0 made: " in capsys.readouterr().err
