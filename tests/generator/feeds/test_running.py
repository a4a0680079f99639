"""Many briefs with one model: written, taken up again, and told of."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from generator.commands.main import app
from generator.errors import BackendError, BriefError, FeedError
from generator.feeds.running import file_name
from tests.generator.conftest import BRIEFS
from tests.generator.scripted import Scripted
from tests.readme import ROOT, commands, section

EXAMPLES = ROOT / "generator/feeds/examples"
LINES = [' warm and slow"', ' calm and easy"', ' bright and dry"', ' made to last"']


class Counted(Scripted):
    """Counts how often it was asked, and fails from a certain time on."""

    asked, opened, fails_after = 0, 0, None

    def complete(self, prompts, sampling, *, seed, adapter=None, progress=None):
        Counted.asked += 1
        if Counted.fails_after is not None and Counted.asked > Counted.fails_after:
            raise BackendError("the server is gone")
        return super().complete(prompts, sampling, seed=seed, adapter=adapter)


@pytest.fixture(autouse=True)
def model(monkeypatch, tmp_path):
    def opened(models):
        Counted.opened += 1
        return Counted(LINES)

    Counted.asked, Counted.opened, Counted.fails_after = 0, 0, None
    monkeypatch.setattr("generator.models.opening.open_backend", opened)
    gates = tmp_path / "gates.yaml"
    gates.write_text("skip: [off_topic, unfounded, duplicate, crowding, grammar, language]\n")
    return gates


def run(*words):
    return CliRunner().invoke(app, ["generate", *map(str, words)])


def fed(out, model, *more, feed=EXAMPLES / "shop.tsv"):
    words = (EXAMPLES / "template.yaml", "--feed", feed, "--out", out, "--n", 1)
    return run(*words, "--gates", model, "--format", "json", *more)


def test_a_feed_is_written_for_with_one_model(tmp_path, model):
    done = fed(tmp_path / "out", model)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [(row["name"], row["status"]) for row in rows] == [
        ("B-22", "written"), ("L-1", "written"), ("K-7", "written"),
    ]  # fmt: skip
    assert Counted.opened == 1
    creatives = json.loads((tmp_path / "out/creatives.json").read_text())
    assert len(creatives) == 3
    assert creatives[0]["ad"] == {
        "final_url": "https://example.org/b-22", "image": "https://example.org/b-22.jpg",
    }  # fmt: skip
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["totals"]["written"] == report["totals"]["creatives"] == 3


def test_what_was_written_is_not_written_again(tmp_path, model):
    fed(tmp_path / "out", model)
    asked = Counted.asked
    again = json.loads(fed(tmp_path / "out", model).stdout)
    assert {row["status"] for row in again} == {"there"}
    assert (Counted.asked, Counted.opened) == (asked, 1)
    other = json.loads(fed(tmp_path / "out", model, "--seed", 9).stdout)
    assert {row["status"] for row in other} == {"written"}


def test_a_run_that_broke_goes_on_where_it_was(tmp_path, model):
    fed(tmp_path / "whole", model)
    Counted.fails_after = Counted.asked + 1
    broken = fed(tmp_path / "out", model)
    assert isinstance(broken.exception, BackendError)
    assert "of 3 briefs are done, and the same command goes on" in str(broken.exception)
    Counted.fails_after = None
    done = json.loads(fed(tmp_path / "out", model).stdout)
    assert "there" in {row["status"] for row in done}
    for name in ("creatives.json", "B-22.json"):
        ours, whole = ((tmp_path / where / name).read_text() for where in ("out", "whole"))
        assert ours == whole


def test_a_changed_item_is_written_for_anew(tmp_path, model):
    feed = tmp_path / "feed.tsv"
    shutil.copy(EXAMPLES / "shop.tsv", feed)
    fed(tmp_path / "out", model, feed=feed)
    feed.write_text(feed.read_text().replace("49.00 EUR", "45.00 EUR"))
    rows = json.loads(fed(tmp_path / "out", model, feed=feed).stdout)
    assert [row["status"] for row in rows] == ["there", "written", "there"]


def test_a_damaged_file_is_written_anew(tmp_path, model):
    fed(tmp_path / "out", model)
    (tmp_path / "out/L-1.json").write_text('{"accepted": [')
    rows = json.loads(fed(tmp_path / "out", model).stdout)
    assert [row["status"] for row in rows] == ["there", "written", "there"]


def test_items_that_cannot_be_are_told_at_the_end_and_the_others_written(tmp_path, model):
    feed = tmp_path / "feed.tsv"
    feed.write_text((EXAMPLES / "shop.tsv").read_text() + "X\t\n" + f"Y\t{'y' * 201}\n")
    done = fed(tmp_path / "out", model, feed=feed)
    assert done.exit_code == 1
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["X"]["why"] == "item 4: has no title"
    assert len([row for row in rows.values() if row["status"] == "written"]) == 4
    assert len(json.loads((tmp_path / "out/report.json").read_text())["briefs"]) == 5


def test_a_brief_of_which_nothing_passes_is_told(tmp_path, model):
    model.write_text("profanity: {extra: [warm, calm, bright, made], allowed: []}\n")
    done = fed(tmp_path / "out", model)
    assert done.exit_code == 1
    assert {row["status"] for row in json.loads(done.stdout)} == {"nothing passed"}


def test_a_folder_of_briefs_is_one_run(tmp_path, model):
    done = run(BRIEFS, "--out", tmp_path / "out", "--n", 1, "--gates", model)
    assert done.exit_code == 0, done.output
    assert Counted.opened == 1
    files = {path.name for path in (tmp_path / "out").glob("*.json")}
    assert {"coffee.yaml.json", "report.json", "creatives.json"} <= files
    assert "3 creatives of 3 briefs" in done.output


def test_many_briefs_need_a_folder_to_go_to(tmp_path):
    assert run(BRIEFS).exit_code == 2
    assert run(BRIEFS, "--out", BRIEFS).exit_code == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert isinstance(run(empty, "--out", tmp_path).exception, BriefError)
    (empty / "a.yaml").write_text("produkt: tea\n")
    assert "none of 1 briefs can be used" in str(run(empty, "--out", tmp_path).exception)
    assert Counted.opened == 0


def test_the_feed_is_read_before_the_model_is_loaded(tmp_path, model):
    (tmp_path / "t.yaml").write_text('product: "{titel}"\n')
    wrong = run(tmp_path / "t.yaml", "--feed", EXAMPLES / "shop.tsv", "--out", tmp_path / "o")
    assert isinstance(wrong.exception, FeedError)
    assert Counted.opened == 0


@pytest.mark.parametrize("name", ["../up", "a/b", "a" * 300, "é" * 200, ".", "report", "SKU 1"])
def test_names_of_files_stay_in_the_folder(name, tmp_path):
    file = tmp_path / f"{file_name(name)}.json"
    file.write_text("{}")
    assert file.parent == tmp_path
    assert file.name not in ("report.json", "creatives.json")


def test_many_items_are_one_run(tmp_path, model):
    feed = tmp_path / "feed.tsv"
    rows = "".join(f"S{n}\tblanket {n}\thttps://example.org/{n}\n" for n in range(120))
    feed.write_text("id\ttitle\tlink\n" + rows)
    template = tmp_path / "t.yaml"
    template.write_text('product: "{title}"\nkeywords: [blankets]\n')
    words = (template, "--feed", feed, "--out", tmp_path / "out", "--n", 1, "--gates", model)
    done = run(*words, "--format", "json")
    assert Counted.opened == 1
    statuses = [row["status"] for row in json.loads(done.stdout)]
    assert len(statuses) == 120
    assert set(statuses) == {"written"}


def test_the_readme_s_examples_name_files_that_there_are():
    for words in commands(section("Many briefs at once")):
        for word in words:
            if word.startswith("generator/"):
                assert (ROOT / word).exists(), word
