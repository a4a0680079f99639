"""An evaluation as one page of HTML that needs nothing else: the pictures are in it.

For sending to whoever decides, who will not run a command: what each policy would have earned,
and in plain words whether the log can tell.
"""

from __future__ import annotations

from html import escape
from io import StringIO
from typing import Final

from bandit.errors import PlotError
from bandit.evaluation.found import Evaluation, PolicyEvaluation, shown, shown_interval
from bandit.plot import COLOURS

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #ddd}
td.n{text-align:right;font-variant-numeric:tabular-nums}
.weak{color:#a33}svg{max-width:100%;height:auto}
"""


def to_page(found: Evaluation) -> str:
    """Returns the evaluation as a page of HTML with a plot.

    Raises:
        PlotError: matplotlib is not installed.
    """
    tables = "".join(_section(policy, found.baseline) for policy in found.policies)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>What each policy would have earned</title><style>{STYLE}</style></head><body>"
        f"<h1>What each policy would have earned</h1><p>{found.n:,} logged decisions; intervals "
        f"cover in {found.level:.0%} of cases. Policies are compared with "
        f"<b>{escape(found.baseline)}</b> on the same decisions.</p>"
        f"{_plot(found)}{tables}</body></html>\n"
    )


def _section(policy: PolicyEvaluation, baseline: str) -> str:
    known = policy.diagnostics
    weak = "" if known.verdict.usable else ' class="weak"'
    rows = "".join(
        f"<tr><td>{escape(row.estimator)}</td><td class=n>{shown(row.value)}</td>"
        f"<td class=n>{shown_interval(row.interval)}</td>"
        f"<td class=n>{shown_interval(row.difference_interval, sign='+')}</td>"
        f"<td>{row.interval.method if row.interval else ''}</td></tr>"
        for row in policy.estimates
    )
    skipped = "".join(
        f"<p>No {escape(name)}: {escape(why)}.</p>" for name, why in policy.skipped.items()
    )
    return (
        f"<h2>{escape(policy.policy)}</h2><p{weak}><b>{known.verdict.code}</b>: "
        f"{escape(known.verdict.words)} Effective sample {known.effective:,.0f} of {known.n:,}; "
        f"mean weight {known.mean_weight:.3f}; largest weight {known.max_weight:.3g}, which is "
        f"{known.max_share:.1%} of all.</p><table><tr><th>estimator</th><th>value</th>"
        f"<th>interval</th><th>over {escape(baseline)}</th><th>method</th></tr>{rows}</table>"
        f"{skipped}"
    )


def _plot(found: Evaluation) -> str:
    """Returns an SVG with every interval: a row a policy, a colour an estimator."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError(
            "a page has plots, which need matplotlib; install it with: pip install "
            "'copyloop[plot]', or take --format table"
        ) from error
    names = list(dict.fromkeys(row.estimator for p in found.policies for row in p.estimates))
    figure = Figure(figsize=(10.0, 1.2 + 0.25 * len(names) * len(found.policies)), layout="tight")
    axes = figure.add_subplot()
    labelled: set[str] = set()
    for place, policy in enumerate(found.policies):
        for row in policy.estimates:
            number = names.index(row.estimator)
            height = place + 0.8 * (number + 0.5) / len(names) - 0.4
            colour = COLOURS[number % len(COLOURS)]
            label = None if row.estimator in labelled else row.estimator
            labelled.add(row.estimator)
            if row.value is not None:
                axes.plot([row.value], [height], "o", color=colour, markersize=5, label=label)
            if row.interval is not None:
                ends = [row.interval.low, row.interval.high]
                axes.plot(ends, [height, height], color=colour, linewidth=2.0)
    axes.set_yticks(range(len(found.policies)), [policy.policy for policy in found.policies])
    axes.invert_yaxis()
    axes.set_xlabel(f"reward a decision (bars: {found.level:.0%})")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="0.9")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    text = StringIO()
    # without a date, the same evaluation gives the same page
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "copyloop"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
