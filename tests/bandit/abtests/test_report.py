import json
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from bandit.abtests.report import ReplayReport, check_plot, make_report, plot_replay
from bandit.errors import PlotError


def report_of(
    clicks, rounds=(100, 200, 50), uniform=(2.0, 5.0, 1.5), best=(4.0, 8.0, 2.0), names=None
):
    return make_report(
        names or [f"policy {n}" for n in range(len(clicks))],
        clicks=np.array(clicks, dtype=float),
        rounds=np.array(rounds),
        uniform=np.array(uniform),
        best=np.array(best),
    )


def test_figures_by_hand() -> None:
    (row,) = report_of([[[3, 6, 2]]]).results
    assert row.rounds == 350
    assert row.ctr == pytest.approx(11 / 350)
    assert row.lift == pytest.approx(11 / 8.5 - 1)
    assert row.captured == pytest.approx((11 - 8.5) / (14 - 8.5))
    residuals = np.array([3, 6, 2]) - 11 / 8.5 * np.array([2.0, 5.0, 1.5])
    assert row.lift_se == pytest.approx(np.sqrt(3 / 2 * (residuals**2).sum()) / 8.5)


def test_the_error_of_the_lift_is_that_of_a_bootstrap_over_tests() -> None:
    rng = np.random.default_rng(1)
    uniform = rng.gamma(5.0, 4.0, size=400)
    clicks = rng.poisson(1.1 * uniform).astype(float)
    picks = rng.integers(0, 400, size=(3000, 400))
    lifts = clicks[picks].sum(axis=1) / uniform[picks].sum(axis=1) - 1
    report = report_of([[clicks]], np.full(400, 2000), uniform, 2 * uniform)
    assert report.results[0].lift_se == pytest.approx(lifts.std(), rel=0.06)


def test_seeds_are_averaged_within_a_test_first() -> None:
    (row,) = report_of([[[2, 6, 2], [4, 6, 2]]]).results
    (mean,) = report_of([[[3, 6, 2]]]).results
    assert (row.lift, row.lift_se, row.captured) == (mean.lift, mean.lift_se, mean.captured)
    assert row.ctr == mean.ctr
    assert row.rounds == 2 * mean.rounds


def test_a_curve_ends_at_the_result_and_starts_open() -> None:
    report = report_of([[[0, 6, 2]]], uniform=(0.0, 5.0, 1.5))
    (curve,) = report.curves
    assert list(curve.rounds) == [100, 300, 350]
    assert np.isnan(curve.lift[0])
    assert curve.lift[1] == pytest.approx(6 / 5 - 1)
    assert curve.lift[-1] == pytest.approx(report.results[0].lift)
    assert curve.lift_se[-1] == report.results[0].lift_se


def test_what_cannot_be_said_is_null() -> None:
    report = report_of([[[3]]], rounds=(100,), uniform=(2.0,), best=(2.0,))
    (row,) = json.loads(report.to_json())["policies"]
    assert row["lift_se"] is None
    assert row["captured"] is None
    assert row["lift"] == 0.5


def verdict_of(n_tests: int, per_test: float, uniform: float = 20.0, spread: float = 1.0):
    clicks = per_test + spread * np.tile([1.0, -1.0], n_tests)[:n_tests]
    rounds = np.full(n_tests, 2000)
    found = report_of([[clicks]], rounds, np.full(n_tests, uniform), rounds * 1.0)
    return found.results[0], found.verdicts[0]


def test_two_tests_tell_nothing_however_alike_they_are() -> None:
    row, verdict = verdict_of(2, 22.2, spread=0.2)
    assert row.lift == pytest.approx(0.11)
    assert verdict.code == "few_tests"
    # 12.7 standard errors to each side: Student's interval of one degree of freedom
    low, high = verdict.lift_interval
    assert (high - low) / 2 / row.lift_se == pytest.approx(12.706, abs=1e-3)
    _, of_one = verdict_of(1, 22.0)
    assert of_one.words.startswith("Only 1 test:")
    assert of_one.lift_interval is None


@pytest.mark.parametrize(
    ("n_tests", "per_test", "uniform", "code"),
    [(20, 24.0, 20.0, "ok"), (20, 16.0, 20.0, "ok"), (20, 20.1, 20.0, "no_difference"),
     (20, 2.2, 2.0, "few_clicks"), (9, 24.0, 20.0, "few_tests")],
)  # fmt: skip
def test_each_verdict_has_its_code(
    n_tests: int, per_test: float, uniform: float, code: str
) -> None:
    row, verdict = verdict_of(n_tests, per_test, uniform)
    assert verdict.code == code
    if code == "ok":
        assert ("more" if row.lift > 0 else "less") in verdict.words


def test_names_of_policies_are_not_markup() -> None:
    found = report(["vw:[red]x", "uniform"])
    console = Console(file=StringIO(), width=140)
    console.print(found.to_table())
    text = console.file.getvalue()
    assert text.count("vw:[red]x") == 2
    assert json.loads(found.to_json())["verdicts"][0]["code"] == "ok"
    assert "vw:[red]x: ok. It earns more than choosing at random" in text


def report(policies: list[str]) -> ReplayReport:
    rng = np.random.default_rng(0)
    uniform = np.full(40, 20.0)
    clicks = rng.poisson(22.0, size=(len(policies), 2, 40)).astype(float)
    clicks[:, :, 0] = 0.0
    return report_of(clicks, np.full(40, 2000), uniform, 2 * uniform, policies)


def test_a_png_is_a_png(tmp_path: Path) -> None:
    plot_replay(report(["thompson", "uniform"]), tmp_path / "lift.png")
    assert (tmp_path / "lift.png").read_bytes().startswith(b"\x89PNG")


def test_an_svg_says_what_it_shows(tmp_path: Path) -> None:
    names = ["thompson", "uniform", "vw:--cb_explore_adf --squarecb --gamma_scale 500"]
    plot_replay(report(names), tmp_path / "lift.svg")
    drawing = ElementTree.parse(tmp_path / "lift.svg").getroot()
    text = "\n".join(drawing.itertext())
    for words in (
        "thompson  +",
        "uniform  +",
        "rounds played",
        "lift over uniform",
        "40 A/B tests",
    ):
        assert words in text
    assert "--gamma_scale 500" not in text


def test_one_test_alone_can_be_drawn(tmp_path: Path) -> None:
    single = report_of([[[3.0]]], (100,), (2.0,), (4.0,))
    plot_replay(single, tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000


def test_what_cannot_be_drawn_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlotError, match=r"ends in \.png or \.svg"):
        check_plot(tmp_path / "lift.pdf")
    with pytest.raises(PlotError, match=r"folder .*absent does not exist"):
        check_plot(tmp_path / "absent" / "lift.png")
    monkeypatch.setattr("bandit.abtests.report.find_spec", lambda _: None)
    with pytest.raises(PlotError, match=r"pip install 'copyloop\[plot\]'"):
        check_plot(tmp_path / "lift.png")
