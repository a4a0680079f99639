"""`copyloop generator adopt|list|promote|reject|rollback|explain`: the versions that were taught.

They work on the log itself, so they need neither the API nor a key; who types is recorded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bandit.commands.processes import Share
from generator.commands.options import BareModel, RewardModel
from generator.settings import REFUSED
from streams.commands.options import DATA, Data, Form, LogUrl, log_url, looked_into, operator
from streams.commands.output import moment, print_json, print_rows
from streams.events.creatives import CANARY_SHARE

if TYPE_CHECKING:
    from generator.versions.gate import GateConfig
    from generator.versions.registry import VersionRegistry
    from streams.events.creatives import GateRow, GeneratorVersion
    from streams.logs.base import Log

Version = Annotated[str, typer.Argument(metavar="VERSION", help="As the list says.")]
Why = Annotated[str, typer.Option(help="Kept with the version.")]
ROWS: Final = ("rule", "value", "bound", "passed", "why")


def adopt(
    trained: Annotated[Path, typer.Argument(help="The folder that generator finetune wrote.")],
    data: Data = DATA,
    log: LogUrl = None,
    model: BareModel = "smollm2",
    config: Annotated[
        Path | None, typer.Option("--gate", help="A YAML file of the gate's bounds and samples.")
    ] = None,
    reward: RewardModel = None,
    share: Share = CANARY_SHARE,
    form: Form = "table",
) -> None:
    """Take a finished training in as a version, judge it, and put it on trial if it passes.

    It is held against the champion on briefs that nothing is taught from. One that passes writes
    creatives for each placement, which get a small share of the traffic; what they earn decides.
    """
    from generator.models.opening import open_backend
    from generator.reward.ranking import open_reward_model
    from generator.versions.gate import judge, passed, verdict
    from generator.versions.store import Versions, check_origin, versions_in
    from generator.writing.texts import Sampler

    versions = Versions(versions_in(data))
    adopted = versions.adopt(trained)
    check_origin(adopted, model)
    with looked_into(log_url(log, data)) as here:
        registry = _registry(here)
        known = registry.catalogue.generator_version(adopted.id)
        if known is not None:
            if known.status == "candidate":  # it was killed between judging and trying
                registry.try_out(adopted.id, share=share)
            typer.echo(f"version {adopted.id} is in the log already, as {known.status}")
            return
        champion = registry.catalogue.champion
        before = None if champion is None else versions.version(champion.id)
        if before is not None:
            check_origin(before, model)
        known_reward = None if reward is None else open_reward_model(reward)
        bounds, backend = gate_config(config), open_backend(model)
        adapter = None if before is None else str(before.adapter)
        ours, theirs = Sampler(backend, str(adopted.adapter)), Sampler(backend, adapter)
        table = judge(ours, theirs, bounds, reward=known_reward)
        registry.add(adopted, table)
        if passed(table):
            registry.try_out(adopted.id, share=share)
    _print_table(form, table)
    if not passed(table):
        typer.echo(f"version {adopted.id} is rejected: {verdict(table)}")
        raise typer.Exit(REFUSED)
    typer.echo(f"version {adopted.id} passed the gate and is on trial")


def list_versions(data: Data = DATA, log: LogUrl = None, form: Form = "table") -> None:
    """List the generator's versions, the newest first."""
    with looked_into(log_url(log, data)) as here:
        found = _registry(here).catalogue.generator_versions()
    rows = [
        (v.id, v.status, moment(v.timestamp_ms), v.parent or "bare model", v.reason)
        for v in found[::-1]
    ]
    print_rows(form, ("version", "status", "since", "parent", "reason"), rows)


def promote(
    version: Version, why: Why = "promoted by hand", data: Data = DATA, log: LogUrl = None
) -> None:
    """Make a version the champion, which writes from now on; the one before retires."""
    from bandit.lifecycle import promoted

    with looked_into(log_url(log, data)) as here:
        found = _registry(here).move(promoted, version, why)
    typer.echo(f"version {found.id} is live in place of {found.replaces or 'the bare model'}")


def reject(
    version: Version, why: Why = "rejected by hand", data: Data = DATA, log: LogUrl = None
) -> None:
    """Reject a version that is not live; its creatives retire, and it never writes again."""
    from bandit.lifecycle import rejected

    with looked_into(log_url(log, data)) as here:
        found = _registry(here).move(rejected, version, why)
    typer.echo(f"version {found.id} is rejected")


def rollback(why: Why = "rolled back by hand", data: Data = DATA, log: LogUrl = None) -> None:
    """Take the champion back: its creatives retire, and the version before writes again."""
    with looked_into(log_url(log, data)) as here:
        found = _registry(here).roll_back(why)
    typer.echo(f"version {found.id} is live again" if found else "the bare model writes again")


def explain(version: Version, data: Data = DATA, log: LogUrl = None, form: Form = "table") -> None:
    """Tell how a version came about, how it was judged, and why each step was taken."""
    import msgspec

    with looked_into(log_url(log, data)) as here:
        registry = _registry(here)
        found, history = registry.version(version), registry.catalogue.generator_steps(version)
    if form == "json":
        told = {"version": _readable(found), "history": [_readable(state) for state in history]}
        print_json(msgspec.json.decode(msgspec.json.encode(told)))
        return
    typer.echo(f"version {found.id}, taught beside {found.parent or 'the bare model'}")
    for field, value in found.manifest_fields().items():
        typer.echo(f"  {field}: {msgspec.json.encode(value).decode()}")
    typer.echo("gate")
    _print_table(form, found.gate)
    if canary := found.canary:
        typer.echo(
            f"canary: at most {canary.share:.0%} of the traffic, {canary.n} decisions, "
            f"{_interval(canary.low, canary.high)} a decision beside the champion's "
            f"{_interval(canary.champion_low, canary.champion_high)}, "
            f"{_interval(canary.gain_low, canary.gain_high)} more"
        )
    typer.echo("steps")
    steps = [
        (moment(state.timestamp_ms), state.status, state.by, state.reason) for state in history
    ]
    print_rows(form, ("when", "status", "by", "why"), steps)


def gate_config(path: Path | None) -> GateConfig:
    """Returns the gate's bounds and draws as a file has them, the usual ones without a file.

    Raises:
        GateError: the file cannot be read; the message says where.
    """
    from generator.errors import GateError
    from generator.files import converted, read_file
    from generator.versions.gate import GateConfig

    if path is None:
        return GateConfig()
    return read_file(path, lambda content: converted(content, GateConfig), GateError)


def _print_table(form: Form, table: tuple[GateRow, ...]) -> None:
    rows = [(row.rule, _short(row.value), _short(row.bound), row.passed, row.why) for row in table]
    print_rows(form, ROWS, rows)


def _registry(log: Log) -> VersionRegistry:
    from generator.versions.registry import VersionRegistry

    return VersionRegistry(log, operator())


def _readable(version: GeneratorVersion) -> GeneratorVersion:
    """Returns the version, with what is wrong in place of a manifest that is no JSON object."""
    import msgspec

    fields = msgspec.json.encode(version.manifest_fields())
    return msgspec.structs.replace(version, manifest=msgspec.Raw(fields))


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


def _interval(low: float | None, high: float | None) -> str:
    return "nothing yet" if low is None or high is None else f"{low:.4g} to {high:.4g}"
