"""An evaluation as one page of HTML that needs nothing else: the pictures are in it.

For sending to whoever decides, who will not run a command: first what each policy would have
earned, in words, and whether the log can tell; then pictures; then the figures.
"""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from importlib.util import find_spec
from typing import Final

from bandit.errors import PlotError
from bandit.ope.reports import charts
from bandit.ope.reports.report import (
    EstimateRow,
    Evaluation,
    PolicyEvaluation,
    drift,
    shown,
    shown_interval,
    shown_lift,
)
from bandit.ope.reports.trends import Part

TOLD_BY: Final = ("dr", "sndr", "snips", "slate_cascade", "ips")
"""By which estimator the page speaks, the first of these that was asked for."""
STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#222}
h1{font-size:1.6rem}
h2{font-size:1.2rem;margin-top:2.2rem;border-top:1px solid #ddd;padding-top:1rem}
h3{font-size:1rem;margin-bottom:.2rem}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{padding:.3rem .6rem;text-align:left;border-bottom:1px solid #ddd}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.ok,.weak{border-radius:.3rem;padding:.1rem .4rem;font-size:.85rem}
.ok{background:#dff1e6;color:#14532d}.weak{background:#fbe3e0;color:#8a1c12}
.warning{background:#fff3cd;border:1px solid #e6c35c;border-radius:.3rem;padding:.6rem .8rem}
summary{cursor:pointer;font-weight:600}svg{max-width:100%;height:auto}.small{color:#555}
"""


def check_page() -> None:
    """Raises what `to_page` would, so that it is known before the long work."""
    if find_spec("matplotlib") is None:
        raise PlotError(
            "a page has plots, which need matplotlib; install it with: pip install "
            "'copyloop[plot]', or take --format table"
        )


def to_page(report: Evaluation) -> str:
    """Returns the evaluation as a page of HTML with charts.

    Raises:
        PlotError: matplotlib is not installed.
    """
    check_page()
    sections = "".join(_section(policy, report) for policy in report.policies)
    warnings = "".join(f"<p class=warning>{escape(text)}</p>" for text in report.warnings)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>What each policy would have earned</title><style>{STYLE}</style></head><body>"
        f"<h1>What each policy would have earned</h1><p>{_origin(report)}. Policies are compared "
        f"with <b>{escape(report.baseline)}</b> on the same decisions.</p>{warnings}"
        f"{_summary(report)}{_forest(report)}{_over_time(report)}{_creatives(report)}{sections}{_calibration(report)}"
        "<h2>How to read this</h2><p class=small>Nobody was shown anything new for this page. "
        "Decisions that were made are weighed by how much likelier each policy makes them. A lift "
        "is by what share more than the other a policy earns; other differences are in rewards. Of "
        f"such intervals {report.level:.0%} hold the true value. Where the verdict is red, take no "
        "decision from the figures beside it: the words say what is wrong. A star marks figures "
        "that rest on propensities which were estimated.</p></body></html>\n"
    )


def _origin(report: Evaluation) -> str:
    """Returns which log was judged: its size, file, dates, and by which version."""
    of = f" of <b>{escape(report.source)}</b>" if report.source is not None else ""
    dates = ""
    if report.since_ms is not None and report.until_ms is not None:
        dates = f", from {_date(report.since_ms)} to {_date(report.until_ms)}"
    return f"{report.n:,} logged decisions{of}{dates}, judged by copyloop {escape(report.version)}"


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000.0, UTC).strftime("%Y-%m-%d %H:%M UTC")


def in_words(policy: PolicyEvaluation, baseline: str) -> str:
    """Returns what was found of a policy as a sentence, with nothing claimed that is not known."""
    row = _told(policy)
    if row is None or row.value is None:
        return "Nothing can be said of it from this log."
    if not policy.diagnostics.verdict.usable:
        return f"This log cannot tell. {policy.diagnostics.verdict.words}"
    apart = row.difference_interval
    if policy.policy == baseline:
        return f"It earned {shown(row.value)} a decision."
    if apart is None:
        return f"It would have earned {shown(row.value)} a decision."
    if apart.low > 0.0 or apart.high < 0.0:
        side = "more" if apart.low > 0.0 else "less"
        near, far = sorted((abs(apart.low), abs(apart.high)))
        return (
            f"It would have earned {shown(near, form='.2g')} to {shown(far, form='.2g')} a "
            f"decision {side} than {baseline}."
        )
    return (
        f"No difference to {baseline} can be seen: between {shown(-apart.low, form='.2g')} a "
        f"decision less and {shown(apart.high, form='.2g')} more."
    )


def _told(policy: PolicyEvaluation) -> EstimateRow | None:
    rows = {row.estimator: row for row in policy.estimates}
    # of the log's own policy SNIPS is what was earned, to the last click
    order = ("snips", "ips", *TOLD_BY) if policy.policy == "logged" else TOLD_BY
    by = next((name for name in order if name in rows), None)
    return rows[by] if by is not None else next(iter(rows.values()), None)


def _summary(report: Evaluation) -> str:
    rows = []
    for policy in report.policies:
        verdict, row = policy.diagnostics.verdict, _told(policy)
        kind = "ok" if verdict.usable else "weak"
        rows.append(
            f"<tr><td><b>{escape(policy.policy)}</b></td>"
            f"<td class=n>{shown(None if row is None else row.value)}{_star(row)}</td>"
            f"<td class=n>{shown_interval(None if row is None else row.interval)}</td>"
            f"<td class=n>{_lift(policy, row)}</td>"
            f"<td>{escape(in_words(policy, report.baseline))}</td>"
            f"<td><span class={kind}>{verdict.code}</span></td></tr>"
        )
    return (
        "<table><tr><th>policy</th><th class=n>reward a decision</th>"
        f"<th class=n>{report.level:.0%} interval</th>"
        f"<th class=n>lift over {escape(report.baseline)}</th>"
        "<th>what that means</th><th>verdict</th></tr>"
        f"{''.join(rows)}</table>"
    )


def _lift(policy: PolicyEvaluation, row: EstimateRow | None) -> str:
    known = row is not None and policy.diagnostics.proves
    return shown_lift(row.lift, row.lift_interval) if known and row is not None else "–"


def _forest(report: Evaluation) -> str:
    told = [(policy.policy, _told(policy)) for policy in report.policies]
    rows = [(name, row.value, row.interval) for name, row in told if row is not None]
    if not rows:
        return ""
    label = f"reward a decision (bars: {report.level:.0%}; dashed: {report.baseline})"
    return charts.forest(rows, label=label, reference=rows[0][1])


def _over_time(report: Evaluation) -> str:
    lines = [
        (policy.policy, policy.over_time)
        for policy in report.policies
        if len(policy.over_time) > 2 and policy.policy != "logged"
    ]
    if not lines:
        return ""
    changed = [
        f"<p>{escape(policy.policy)}: {escape(words)}</p>"
        for policy in report.policies
        if (words := drift(policy.over_time)) is not None
    ]
    picture = charts.over_time(lines, logged="earned")
    return f"<h2>Over time</h2>{picture}{''.join(changed)}"


def _creatives(report: Evaluation) -> str:
    kept = [one for one in report.creatives if one.value is not None][: charts.SHOWN]
    if not kept:
        return ""
    rows = [(f"{one.creative_id} ({one.shown:,})", one.value, one.interval) for one in kept]
    label = "reward a decision, wherever it can be shown (in brackets: times shown)"
    more = len(report.creatives) - len(kept)
    note = f"<p class=small>and {more} more</p>" if more else ""
    return f"<h2>By creative</h2>{charts.forest(rows, label=label)}{note}"


def _section(policy: PolicyEvaluation, report: Evaluation) -> str:
    known = policy.diagnostics
    parts = "".join(_parts(name, parts, report) for name, parts in policy.segments.items())
    if policy.slots:
        parts += _parts("slot", policy.slots, report)
    skipped = "".join(
        f"<p>No {escape(name)}: {escape(why)}.</p>" for name, why in policy.skipped.items()
    )
    return (
        f"<h2>{escape(policy.policy)}</h2><p><span class={'ok' if known.verdict.usable else 'weak'}"
        f">{known.verdict.code}</span> {escape(known.verdict.words)}</p>{parts}"
        f"<details><summary>Every estimator, and the weights</summary>{_estimates(policy, report)}"
        f"{skipped}<p>Effective sample {known.effective:,.0f} of {known.n:,}; mean weight "
        f"{known.mean_weight:.3f}, which is 1 where the logged propensities are right; largest "
        f"weight {known.max_weight:.3g}, {known.max_share:.1%} of all; the ten heaviest decisions "
        f"carry {known.carried[-1]:.1%} of the estimate; the policy never does what was done in "
        f"{known.zero_share:.1%} of decisions.</p>{charts.weights(known)}</details>"
    )


def _estimates(policy: PolicyEvaluation, report: Evaluation) -> str:
    rows = "".join(
        f"<tr><td>{escape(row.estimator)}</td><td class=n>{shown(row.value)}{_star(row)}</td>"
        f"<td class=n>{shown_interval(row.interval)}</td>"
        f"<td class=n>{shown_interval(row.difference_interval, sign='+')}</td>"
        f"<td>{row.interval.method if row.interval else ''}</td></tr>"
        for row in policy.estimates
    )
    return (
        "<table><tr><th>estimator</th><th class=n>value</th><th class=n>interval</th>"
        f"<th class=n>over {escape(report.baseline)}</th><th>method</th></tr>{rows}</table>"
    )


def _parts(name: str, parts: tuple[Part, ...], report: Evaluation) -> str:
    kept = [part for part in parts if part.value is not None][: charts.SHOWN]
    if not kept:
        return ""
    rows = [(f"{part.label} ({part.n:,})", part.value, part.interval) for part in kept]
    label = f"reward a decision, by {name} (in brackets: decisions)"
    more = len(parts) - len(kept)
    note = f"<p class=small>and {more} smaller ones</p>" if more > 0 else ""
    return f"<h3>By {escape(name)}</h3>{charts.forest(rows, label=label)}{note}"


def _calibration(report: Evaluation) -> str:
    if report.calibration is None:
        return ""
    return (
        f"<h2>The reward model</h2><p>{escape(report.calibration.words)}</p>"
        f"{charts.calibration(report.calibration)}"
    )


def _star(row: EstimateRow | None) -> str:
    return "*" if row is not None and row.caveat else ""
