"""`copyloop generate`: headlines for one brief, on the terminal or as JSON, without a log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from generator.backends import Backend, open_backend
from generator.brief import Brief, load_brief
from generator.errors import BriefError
from generator.generate import Candidate, GenerationResult, generate
from streams.events import Lineage


def generate_command(
    brief_path: Path,
    *,
    n: int,
    seed: int,
    model: str = "smollm2",
    output: Literal["table", "json"] = "table",
    winners_path: Path | None = None,
) -> None:
    """Prints the headlines of a brief, with those that were refused and why.

    The result goes to stdout, what is going on to stderr.

    Args:
        brief_path: a YAML or JSON file.
        n: how many to accept, at least 1.
        seed: the same one gives the same headlines.
        model: what `open_backend` opens.
        output: a table for people, or one JSON object with every candidate's lineage.
        winners_path: a text file, one headline that did well on each line.

    Raises:
        BriefError: the brief or the winners cannot be read.
        BackendError: the model cannot be had, or failed.
    """
    brief = load_brief(brief_path)
    winners = _winners(winners_path)
    notes = Console(stderr=True)
    with notes.status(f"loading {model} (the first time takes half a minute)"):
        backend = open_backend(model)
    result = _generate(brief, backend, n, seed, winners, notes)
    if output == "json":
        sys.stdout.write(_json(result, backend.name, seed) + "\n")
    else:
        _print_tables(result, Console())


def _winners(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"{path}: cannot be read: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


def _generate(
    brief: Brief, backend: Backend, n: int, seed: int, winners: tuple[str, ...], notes: Console
) -> GenerationResult:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=notes, transient=True) as bar:
        task = bar.add_task(f"0 of {n} headlines", total=1.0)

        def report(accepted: int, share: float) -> None:
            done = max(share, accepted / n)
            bar.update(task, completed=done, description=f"{accepted} of {n} headlines")

        return generate(brief, backend, n=n, seed=seed, winners=winners, progress=report)


def _json(result: GenerationResult, model: str, seed: int) -> str:
    def row(candidate: Candidate) -> dict[str, object]:
        refused = candidate.rejection
        lineage = Lineage(model=model, prompt=candidate.prompt, seed=seed)
        why = {"code": refused.code, "reason": refused.words} if refused else {}
        return {"headline": candidate.text, **why, "lineage": lineage}

    rows = {
        "accepted": [row(candidate) for candidate in result.accepted],
        "rejected": [row(candidate) for candidate in result.rejected],
    }
    return msgspec.json.format(msgspec.json.encode(rows), indent=2).decode()


def _print_tables(result: GenerationResult, console: Console) -> None:
    accepted = Table("headline", "prompt", title="accepted", title_justify="left")
    for candidate in result.accepted:
        accepted.add_row(escape(candidate.text), escape(candidate.prompt), style="green")
    refused = Table("headline", "gate", "why", title="refused", title_justify="left")
    for candidate in result.rejected:
        if candidate.rejection:
            code, why = candidate.rejection
            refused.add_row(escape(candidate.text), code, escape(why))
    console.print(accepted)
    if result.rejected:
        console.print(refused)
    console.print(result.summary())
