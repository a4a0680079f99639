import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bandit.__main__ import app
from bandit.errors import EstimateError, ReaderError
from bandit.policies import parse_policy

HILLSTROM = Path(__file__).parents[3].parent / "shared" / "data" / "hillstrom.csv"


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    rows = [f"{n % 2},0.5,{'ab'[n % 2]},0.9" for n in range(400)]
    path.write_text("\n".join(["clicked,p,ad,new", *rows]))
    return path


def run(path, *options, columns=("reward=clicked", "propensity=p", "action=ad", "target.new=new")):
    words = ["evaluate", str(path), "--reader", "table", *options]
    for column in columns:
        words += ["--column", column]
    return CliRunner().invoke(app, words)


def test_it_prints_a_table(log):
    done = run(log, "--policy", "constant:b", "--policy", "column:new", "--estimator", "snips")
    assert done.exit_code == 0, done.output
    assert "constant:b" in done.output
    assert "ok. The log covers the policy." in " ".join(done.output.split())


def test_json_is_for_programs(log):
    done = run(log, "--policy", "constant:b", "--estimator", "ips", "--format", "json")
    told = json.loads(done.output)
    policy = told["policies"][1]
    assert policy["policy"] == "constant:b"
    assert policy["estimates"][0]["value"] == pytest.approx(1.0)
    assert policy["diagnostics"]["verdict"]["code"] == "ok"


def test_html_is_a_page(log):
    done = run(log, "--policy", "uniform", "--format", "html")
    assert done.output.startswith("<!doctype html>")
    assert "</svg>" in done.output


def test_without_propensities_it_says_so_and_what_to_do(log):
    done = run(log, columns=("reward=clicked", "action=ad"))
    assert "--propensities estimate" in str(done.exception)
    columns = ("reward=clicked", "action=ad", "context.new=new")
    done = run(log, "--propensities", "estimate", "--format", "json", columns=columns)
    told = json.loads(done.output)
    assert "not logged but estimated" in told["warnings"][0]
    assert told["policies"][1]["estimates"][0]["caveat"] == "propensities_estimated"


def test_tune_writes_the_winner_as_settings(log, tmp_path):
    out = tmp_path / "winner.json"
    words = ["tune", str(log), "--reader", "table", "--policy", "thompson"]
    words += ["--grid", "beta=1,50", "--out", str(out), "--processes", "2", "--format", "json"]
    for column in ("reward=clicked", "propensity=p", "action=ad"):
        words += ["--column", column]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    winner = json.loads(done.output)["candidates"][0]
    assert json.loads(out.read_text()) == winner["spec"]
    assert winner["interval"]["low"] <= winner["value"] <= winner["interval"]["high"]
    assert parse_policy(str(out)) == winner["spec"]


def test_segments_and_creatives_are_printed(log):
    columns = ("reward=clicked", "propensity=p", "action=ad", "context.new=new")
    options = ("--segment", "new", "--creatives", "--policy", "constant:b", "--estimator", "snips")
    done = run(log, *options, columns=columns)
    assert done.exit_code == 0, done.output
    assert "new" in done.output
    assert "What each creative earns" in done.output


def test_a_column_without_a_role_is_refused(log):
    assert run(log, columns=("clicked",)).exit_code == 2


def test_a_file_is_no_archive_and_the_way_out_is_told(log):
    done = CliRunner().invoke(app, ["evaluate", str(log), "--policy", "uniform"])
    assert isinstance(done.exception, ReaderError)
    assert "is a file, and an archive is a folder" in str(done.exception)
    assert "--reader table" in str(done.exception)


def test_rewards_out_of_range_are_refused(log):
    done = run(log, "--estimator", "betting", "--rewards", "0", "0.5")
    assert isinstance(done.exception, EstimateError)


@pytest.mark.skipif(not HILLSTROM.is_file(), reason=f"no {HILLSTROM} here")
def test_a_real_experiment_gives_back_what_its_arms_earned(tmp_path):
    with HILLSTROM.open() as file:
        rows = list(csv.DictReader(file))[:9000]
    path = tmp_path / "hillstrom.csv"
    path.write_text(
        "\n".join(["visit,segment,p", *(f"{r['visit']},{r['segment']},0.3333333" for r in rows)])
    )
    options = ("--policy", "constant:Mens E-Mail", "--estimator", "snips", "--format", "json")
    done = run(path, *options, columns=("reward=visit", "propensity=p", "action=segment"))
    mens = [float(row["visit"]) for row in rows if row["segment"] == "Mens E-Mail"]
    (estimate,) = json.loads(done.output)["policies"][1]["estimates"]
    assert estimate["value"] == pytest.approx(sum(mens) / len(mens))
    assert estimate["difference_interval"]["low"] > 0.0


def test_ids_are_not_markup(tmp_path):
    path = tmp_path / "log.csv"
    rows = [f"{n % 2},0.5,{('[red]x', ':x:')[n % 2]},[b]{n % 3}" for n in range(400)]
    path.write_text("\n".join(["clicked,p,ad,seen", *rows]))
    columns = ("reward=clicked", "propensity=p", "action=ad", "context.[i]=seen")
    options = ("--policy", "constant:[red]x", "--policy", "constant::x:", "--estimator", "snips")
    more = ("--baseline", "constant:[red]x", "--segment", "[i]", "--creatives")
    done = run(path, *options, *more, columns=columns)
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    for name in ("constant:[red]x: few_rewards.", "constant::x:: ok.", "[i]", "[b]2", "│ [red]x"):
        assert name in text
    assert "❌" not in text
