import json

import pytest

from generator.command import generate_command
from generator.errors import BriefError
from tests.generator.conftest import BRIEFS
from tests.generator.scripted import Scripted


@pytest.fixture
def opened(backend, monkeypatch):
    monkeypatch.setattr("generator.command.open_backend", lambda model: backend)


@pytest.mark.model
def test_json_holds_every_candidate_with_its_lineage(opened, capsys):
    generate_command(BRIEFS / "coffee.yaml", n=2, seed=1, output="json")
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert len(found["accepted"]) == 2
    assert found["rejected"]
    for row in found["accepted"]:
        assert set(row) == {"headline", "lineage"}
        assert row["lineage"]["model"].startswith("smollm2-")
        assert row["lineage"]["seed"] == 1
        assert row["lineage"]["prompt"]
    for row in found["rejected"]:
        assert set(row) == {"headline", "code", "reason", "lineage"}


def test_tables_show_what_was_accepted_and_why_the_others_were_not(tmp_path, monkeypatch, capsys):
    scripted = Scripted(
        [' warm and slow"', ' www.beans"', ' [calm] and bright"', ' calm and easy"']
    )
    monkeypatch.setattr("generator.command.open_backend", lambda model: scripted)
    winners = tmp_path / "winners.txt"
    winners.write_text("Keep your coffee hot\n\n  Mornings that last \n")
    generate_command(BRIEFS / "coffee.yaml", n=3, seed=1, winners_path=winners)
    printed = capsys.readouterr().out
    for expected in ("accepted", "refused", "winner: ", "has 'www.'", "[calm]", "3 of "):
        assert expected in printed


def test_winners_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(BriefError, match=r"none\.txt: cannot be read"):
        generate_command(BRIEFS / "coffee.yaml", n=1, seed=1, winners_path=tmp_path / "none.txt")
