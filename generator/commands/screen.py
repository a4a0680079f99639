"""`copyloop screen` and `copyloop gates`: any texts through the gates, and what these let in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer

from generator.errors import BriefError

Gates = Annotated[
    Path | None, typer.Option("--gates", help="Thresholds to change; see copyloop gates.")
]


def gates() -> None:
    """Print the gates' thresholds as YAML: copy what you change, and name it with --gates."""
    from generator.screening.settings import FILE

    sys.stdout.write(FILE.read_text(encoding="utf-8"))


def screen(
    brief: Annotated[Path, typer.Argument(help="What the texts are for; see copyloop brief.")],
    texts: Annotated[Path, typer.Argument(help="A text file, one whole creative on each line.")],
    thresholds: Gates = None,
    form: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """Tell of texts written by anyone which pass the gates, and why the others do not."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from generator.brief.schema import load_brief
    from generator.screening.screen import Screen, Written, report, to_table
    from generator.screening.settings import load_thresholds

    found = Screen(load_brief(brief), thresholds=load_thresholds(thresholds), whole=True)
    batch = [Written(line) for line in _lines(texts)]
    verdicts = found.judge(batch)
    judged = list(zip(batch, verdicts, strict=True))
    rows = report(found.gates, batch, verdicts)
    if form == "json":
        said = [
            {
                "text": written.text,
                "code": verdict.rejection and verdict.rejection.code,
                "reason": verdict.rejection and verdict.rejection.words,
                "scores": verdict.scores,
            }
            for written, verdict in judged
        ]
        report_rows = [row._asdict() for row in rows]
        answer = msgspec.json.encode({"texts": said, "gates": report_rows})
        sys.stdout.write(msgspec.json.format(answer, indent=2).decode() + "\n")
        return
    table = Table("text", "gate", "why")
    for written, verdict in judged:
        code, why = verdict.rejection or ("passed", "")
        style = "green" if verdict.rejection is None else None
        table.add_row(escape(written.text), code, escape(why), style=style)
    console = Console()
    console.print(table)
    console.print(to_table(rows))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BriefError(f"{path}: cannot be read: {error}") from error
    return [line.strip() for line in lines if line.strip()]
