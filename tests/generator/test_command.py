import json

import pytest

from generator.command import generate_command
from generator.errors import BriefError
from tests.generator.conftest import BRIEFS
from tests.generator.scripted import Scripted


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    lines = [' warm and slow"', ' www.beans"', ' [calm] and bright"', ' calm and easy"']
    monkeypatch.setattr("generator.command.open_backend", lambda model: Scripted(lines))


def test_json_holds_every_candidate_with_its_lineage(capsys):
    generate_command(BRIEFS / "coffee.yaml", n=2, seed=1, output="json")
    found = json.loads(capsys.readouterr().out)
    assert len(found["accepted"]) == 2
    for row in found["accepted"]:
        assert set(row) == {"headline", "lineage"}
        assert set(row["lineage"]) == {"model", "prompt", "seed"}
        assert (row["lineage"]["model"], row["lineage"]["seed"]) == ("scripted", 1)
    assert {"markup", "characters"} <= {row["code"] for row in found["rejected"]}
    assert all(set(row) == {"headline", "code", "reason", "lineage"} for row in found["rejected"])


def test_tables_show_what_was_accepted_and_why_the_others_were_not(tmp_path, capsys):
    winners = tmp_path / "winners.txt"
    winners.write_text("Keep your coffee hot\n\n  Mornings that last \n")
    generate_command(BRIEFS / "coffee.yaml", n=3, seed=1, winners_path=winners)
    printed = capsys.readouterr().out
    for expected in ("accepted", "refused", "winner: ", "has 'www.'", "[calm]", "3 of "):
        assert expected in printed


def test_winners_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(BriefError, match=r"none\.txt: cannot be read"):
        generate_command(BRIEFS / "coffee.yaml", n=1, seed=1, winners_path=tmp_path / "none.txt")
