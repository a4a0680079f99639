from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from bandit.abtests.report import ReplayReport, check_plot, make_report, plot_replay
from bandit.errors import PlotError

pytest.importorskip("matplotlib", reason="the plot extra is not installed")


def report(policies: list[str]) -> ReplayReport:
    rng = np.random.default_rng(0)
    uniform = np.full(40, 20.0)
    clicks = rng.poisson(22.0, size=(len(policies), 2, 40)).astype(float)
    clicks[:, :, 0] = 0.0
    return make_report(
        policies, clicks=clicks, rounds=np.full(40, 2000), uniform=uniform, best=2 * uniform
    )


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
    single = make_report(
        ["uniform"],
        clicks=np.array([[[3.0]]]),
        rounds=np.array([100]),
        uniform=np.array([2.0]),
        best=np.array([4.0]),
    )
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
