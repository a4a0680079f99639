"""Decide, learn, judge: policies, the service that asks them, and replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from bandit.ope.tables import EvaluationResult, Policies

__all__ = ["evaluate"]


def evaluate(
    table: Any,
    columns: Mapping[str, str],
    policies: Policies = ("uniform",),
    *,
    propensities: Literal["logged", "estimate"] = "logged",
    on_bad_row: Literal["stop", "skip"] = "stop",
    **options: Any,
) -> EvaluationResult:
    """Returns what other policies would have earned on a table of logged decisions.

    >>> log = {"ad": ["a", "b"] * 200, "clicked": [1, 0, 0, 0] * 100, "p": [0.5] * 400}
    >>> roles = {"action": "ad", "reward": "clicked", "propensity": "p"}
    >>> result = evaluate(log, roles, ["constant:a"], estimators=("snips",))
    >>> result.to_arrow()["value"].to_pylist()
    [0.25, 0.5]
    >>> result.verdicts["constant:a"].code
    'ok'

    Args:
        table: a table of pandas, polars, DuckDB or Arrow, a mapping of columns, a list of rows, or
            the path of CSV, JSON lines, Parquet, a folder of these or a pattern with `*`.
        columns: from a role to the column that plays it, as the command takes them: `reward`,
            `propensity`, `action`, `context.NAME` and so on.
        policies: one or several, as the command takes them, such as `constant:ID` or `thompson`,
            or as a placement has them, such as `{"name": "thompson", "beta": 50}`.
        propensities: `estimate` where nobody wrote them down.
        on_bad_row: `skip` leaves out rows that cannot be read, and counts them.
        options: the fields of `bandit.ope.candidate.Options`, such as `estimators` and `level`.

    Raises:
        BanditError: the table, a policy or an option cannot be used; the message says why.
        TypeError: an option that does not exist.
    """
    from bandit.ope.tables import evaluate_any, options_of

    return evaluate_any(
        table,
        columns,
        policies,
        options_of(options),
        propensities=propensities,
        on_bad_row=on_bad_row,
    )
