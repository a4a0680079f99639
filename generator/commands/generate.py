"""`copyloop generate`: creatives for one brief, on the terminal or as JSON, without a log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from generator.brief.schema import Brief, load_brief
from generator.errors import BriefError
from generator.material.understanding import understand
from generator.models.base import Backend, Usage
from generator.models.catalog import load_models
from generator.models.opening import open_backend
from generator.screening.segments import Told, across_segments
from generator.writing.creatives import (
    Draft,
    Drafts,
    candidate_lineage,
    channel_of,
    generate_creatives,
    lineage,
)
from generator.writing.texts import AS_THEY_COME, USUAL, Selection, Style, WrittenText


class Order(NamedTuple):
    """What is asked for on the command line.

    `n` None is what the brief's channel usually wants; `winners` is a text file with one text
    that did well on each line.
    """

    brief: Path
    n: int | None = None
    seed: int = 1
    model: str = "smollm2"
    adapter: str | None = None
    style: Style = USUAL
    winners: Path | None = None
    output: Literal["table", "json"] = "table"
    selection: Selection = AS_THEY_COME


def generate_command(order: Order) -> None:
    """Prints the creatives of a brief, with the texts that were refused and why.

    The result goes to stdout, what is going on to stderr.

    Raises:
        BriefError: the brief or the winners cannot be read.
        MaterialError: a file of the brief's material cannot be read, or no model looks at it.
        ModelsError: the file of models cannot be read.
        BackendError: the model cannot be had, or failed.
    """
    brief = load_brief(order.brief)
    winners = _winners(order.winners)
    notes = Console(stderr=True)
    models = load_models(order.model, adapter=order.adapter)
    with notes.status("looking at the material"):
        understood = understand(brief, models, base=order.brief.parent)
    with notes.status(f"loading {order.model} (the first time takes half a minute)"):
        backend = open_backend(models)
    drafts = _generate(understood.brief, backend, order, winners, notes)
    if order.output == "json":
        sys.stdout.write(_json(drafts, brief, order.seed, backend.usage) + "\n")
    else:
        _print_tables(drafts, Console())
        notes.print(_used(backend.usage), style="dim")


def _winners(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"{path}: cannot be read: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _generate(
    brief: Brief, backend: Backend, order: Order, winners: tuple[str, ...], notes: Console
) -> Drafts:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    channel = channel_of(brief)
    with Progress(*columns, console=notes, transient=True) as bar:
        task = bar.add_task("starting", total=1.0)

        def report(piece: str, accepted: int, wanted: int, share: float) -> None:
            bar.update(task, completed=share, description=f"{accepted} of {wanted} {piece}s")

        return generate_creatives(
            brief,
            backend,
            n=order.n or channel.creatives,
            seed=order.seed,
            style=order.style,
            selection=order.selection,
            winners={channel.assets[0].name: winners},
            progress=report,
        )


def _json(drafts: Drafts, brief: Brief, seed: int, usage: Usage) -> str:
    def creative(draft: Draft) -> dict[str, object]:
        return {"parts": draft.parts, "lineage": lineage(draft, brief, seed=seed, parents={})}

    def refused(candidate: WrittenText) -> dict[str, object]:
        row = {"part": candidate.piece.name, "text": candidate.text}
        if candidate.rejection:
            row |= {"code": candidate.rejection.code, "reason": candidate.rejection.words}
        return row | {"lineage": candidate_lineage(candidate, {})}

    rows = {
        "accepted": [creative(draft) for draft in drafts.creatives],
        "rejected": [refused(candidate) for candidate in drafts.rejected],
        "left_over": [refused(candidate) for candidate in drafts.left_over],
        "segments": [row._asdict() for row in across_segments(_told(drafts))],
        "usage": vars(usage),
    }
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def _print_tables(drafts: Drafts, console: Console) -> None:
    accepted = Table("", "part", "text", "prompt", title="accepted", title_justify="left")
    for number, draft in enumerate(drafts.creatives, 1):
        for position, (part, text) in enumerate(draft.parts.items()):
            written = draft.written.get(part)
            label = written.prompt.label if written else "the brief"
            first = "" if position else str(number)
            accepted.add_row(first, part, escape(text), escape(label), style="green")
    refused = Table("part", "text", "gate", "why", title="refused", title_justify="left")
    for candidate in drafts.rejected:
        if candidate.rejection:
            code, why = candidate.rejection
            refused.add_row(candidate.piece.name, escape(candidate.text), code, escape(why))
    console.print(accepted)
    if drafts.rejected:
        console.print(refused)
    console.print(drafts.summary())
    for row in across_segments(_told(drafts)):
        for concern in row.concerns:
            console.print(f"[yellow]segment {escape(row.segment)}[/yellow]: {escape(concern)}")


def _told(drafts: Drafts) -> list[Told]:
    """Returns every text that was written for a segment, and what it was refused for."""
    kept = [candidate for draft in drafts.creatives for candidate in draft.written.values()]
    return [
        Told(c.prompt.segment, c.text, c.rejection.code if c.rejection else None)
        for c in [*kept, *drafts.left_over, *drafts.rejected]
        if c.prompt.segment is not None
    ]


def _used(usage: Usage) -> str:
    said = f"{usage.prompt_tokens:,} tokens read, {usage.completion_tokens:,} written"
    tried = f", {usage.retries} of {usage.requests} requests repeated" if usage.retries else ""
    return said + tried + (f", cost {usage.cost:.4f}" if usage.cost else "")
