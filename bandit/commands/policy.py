"""The commands for a placement's policy: list its versions, compare, promote, and go back.

They work on the log itself, so they need no API; every replica and the learner follow the log.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from streams.commands.options import Form, LogOptions, make_app, operator
from streams.commands.output import moment, print_json, print_rows

if TYPE_CHECKING:
    # Numpy is loaded when a command needs it, not to print the help.
    from bandit.learning.versions import Version
    from streams.catalogue.state import Catalogue
    from streams.events import Placement
    from streams.events.placement import TrialResult
    from streams.logs.base import Log

Name = Annotated[str, typer.Argument(metavar="PLACEMENT")]


def list_versions(placement: Name, at: LogOptions, form: Form = "table") -> None:
    """List the policies that the placement has had, with what they decided and earned."""
    from bandit.learning.versions import counted, latest_trials

    with at.looked_into() as here:
        found = counted(here, placement, _versions(here, placement))
        trials = latest_trials(here, placement)
    if form == "json":
        print_json({"versions": msgspec.to_builtins(found), "trials": msgspec.to_builtins(trials)})
        return
    columns = ("version", "since (UTC)", "decisions", "mean reward", "why", "policy")
    rows = [_version(each) for each in found]
    print_rows(form, columns, rows)
    if trials:
        figures = ("on trial", "decisions", "value", "at least", "at most", "match", "refused")
        print_rows(form, figures, [_trial(name, result) for name, result in trials.items()])


def diff(
    *,
    placement: Name,
    before: Annotated[
        int | None, typer.Argument(help="A version's number.", show_default="the one before")
    ] = None,
    after: Annotated[
        int | None, typer.Argument(help="Another's.", show_default="the current one")
    ] = None,
    at: LogOptions,
    form: Form = "table",
) -> None:
    """Show the parameters in which two versions differ."""
    from bandit.learning.versions import differences, version
    from bandit.policies.headlines import in_short

    with at.looked_into() as here:
        versions = _versions(here, placement)
    one, other = version(versions, before), version(versions, after or len(versions))
    rows = [
        (found.parameter, _json(found.before), _json(found.after))
        for found in differences(in_short(one.spec), in_short(other.spec))
    ]
    print_rows(form, ("parameter", f"version {one.number}", f"version {other.number}"), rows)


def promote(
    *,
    placement: Name,
    challenger: Annotated[str | None, typer.Argument(help="One of the placement's.")] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="Any other: default, thompson:alpha=1, 'vw:--cb_…', or spec.json."),
    ] = None,
    why: Annotated[str, typer.Option(help="Kept with the version.")] = "promoted by hand",
    at: LogOptions,
) -> None:
    """Give the placement another policy; the old one is served until the new one has learned."""
    from bandit.learning.versions import latest_trials, promotion
    from bandit.policies import parse_policy

    if (challenger is None) == (policy is None):
        raise typer.BadParameter("name either a challenger or a --policy")
    spec = None if policy is None else parse_policy(policy)
    with at.looked_into() as log:
        trials = {} if challenger is None else latest_trials(log, placement)
    _change(at, placement, lambda here: promotion(here, placement, challenger, spec, why, trials))


def rollback(
    *,
    placement: Name,
    to: Annotated[
        int | None, typer.Option(help="A version's number.", show_default="the one before")
    ] = None,
    at: LogOptions,
) -> None:
    """Give the placement back a policy that it had, with all that it would have learned since."""
    from bandit.learning.versions import rollback as rolled_back

    _change(at, placement, lambda here: rolled_back(here, placement, to))


def _versions(here: Log, placement: str) -> list[Version]:
    from bandit.learning.versions import versions_in
    from streams.catalogue.writer import CatalogueWriter

    return versions_in(CatalogueWriter(here).catalogue, placement)


def _change(at: LogOptions, placement: str, change: Callable[[Catalogue], list[Placement]]) -> None:
    """Changes the policy, unless somebody else changes the placement at the same moment."""
    from bandit.learning.versions import placement_in
    from streams.catalogue.writer import CatalogueWriter

    name = f"placement/{placement}"
    with at.looked_into() as here:
        writer = CatalogueWriter(here)
        catalogue, seen = writer.catalogue, writer.as_seen(name)
        if not writer.commit([name], lambda: change(catalogue), operator(), seen):
            typer.echo("the placement has that policy already; nothing was changed")
            return
    policy = _json(placement_in(catalogue, placement).policy)
    typer.echo(f"{policy}\nis served as soon as the learner has folded the log with it")


def _version(found: Version) -> tuple[object, ...]:
    mean = f"{(found.reward or 0.0) / found.decisions:.4f}" if found.decisions else None
    return found.number, moment(found.since_ms), found.decisions, mean, found.why, _json(found.spec)


def _trial(name: str, found: TrialResult) -> tuple[object, ...]:
    figures = (found.value, found.low, found.high, found.match)
    told = [None if figure is None else f"{figure:.4f}" for figure in figures]
    return name, found.n, *told, found.refused


def _json(value: object) -> str | None:
    from bandit.policies.headlines import in_short

    return None if value is None else msgspec.json.encode(in_short(value)).decode()


app = make_app(
    "A placement's policy: its versions, and changing it.",
    {"list": list_versions, "diff": diff, "promote": promote, "rollback": rollback},
)
