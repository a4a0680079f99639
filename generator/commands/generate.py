"""`copyloop generate`, `screen`, `gates` and `demo`: texts without a log of one's own."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from bandit.commands.processes import Model
from generator.commands.options import Adapter, Gates, RewardModel
from generator.settings import NOTHING_MADE
from streams.commands.options import Form
from streams.commands.output import print_json, progress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.table import Table

    from generator.brief.schema import Brief
    from generator.models.base import Usage
    from generator.writing.creatives import Draft, Drafts
    from generator.writing.insights import SegmentText
    from generator.writing.texts import Style, TextSelection, WrittenText


class Order(NamedTuple):
    """The creatives that are asked for, and how they are written."""

    brief: Annotated[
        Path,
        typer.Argument(
            help="A YAML or JSON file, see copyloop brief; a folder of them; or, with --feed, the "
            "template of a brief an item."
        ),
    ]
    n: Annotated[
        int | None,
        typer.Option("--n", min=1, help="How many creatives.", show_default="by channel, 1 or 20"),
    ] = None
    seed: Annotated[int, typer.Option(help="The same seed gives the same creatives.")] = 1
    model: Model = "smollm2"
    adapter: Adapter = None
    temperature: Annotated[float, typer.Option(min=0.01, help="Lower keeps to the likely.")] = 0.6
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Mass to draw from.")] = 0.9
    min_p: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Least share of the likeliest token's.")
    ] = 0.0
    presence_penalty: Annotated[
        float, typer.Option(min=-2.0, max=2.0, help="Higher says less twice in a text.")
    ] = 0.0
    winners: Annotated[
        Path | None, typer.Option(help="A text file: headlines that did well, one a line.")
    ] = None
    over: Annotated[
        float, typer.Option(min=1.0, help="Texts that pass for each that is kept; the best stay.")
    ] = 1.5
    reward: RewardModel = None
    thresholds: Gates = None
    feed: Annotated[
        Path | None, typer.Option(help="A Google Merchant feed, TSV or XML: a brief an item.")
    ] = None
    out: Annotated[
        Path | None, typer.Option(help="Of many briefs: a folder; a run that was stopped goes on.")
    ] = None

    def style(self) -> Style:
        """Returns how freely the model writes."""
        from generator.writing.texts import Style

        return Style(self.temperature, self.top_p, self.min_p, self.presence_penalty)

    def selection(self) -> TextSelection:
        """Returns how texts are selected.

        Raises:
            ThresholdsError: the file of thresholds cannot be read.
            RewardModelError: there is no model to rank by in its file.
        """
        from generator.screening.settings import load_thresholds
        from generator.writing.texts import TextSelection

        selection = TextSelection(self.over, thresholds=load_thresholds(self.thresholds))
        if self.reward is None:
            return selection
        from generator.reward.ranking import open_trusted, ranked_by

        return selection._replace(rank=ranked_by(open_trusted(self.reward)))


def generate(order: Order, form: Form = "table") -> None:
    """Write creatives for a brief, and say why each of the other texts was refused."""
    from rich.console import Console

    from generator.brief.schema import load_brief
    from generator.material.understanding import understand
    from generator.models.catalog import load_models
    from generator.models.opening import open_backend
    from generator.writing.creatives import channel_of, generate_creatives

    selection, brief = order.selection(), load_brief(order.brief)
    winners = () if order.winners is None else tuple(lines_of(order.winners))
    notes = Console(stderr=True)
    models = load_models(order.model, adapter=order.adapter)
    with notes.status("looking at the material"):
        understood = understand(brief, models, base=order.brief.parent).brief
    with notes.status(f"loading {order.model} (the first time takes half a minute)"):
        backend = open_backend(models)
    channel = channel_of(understood)
    asked = order.n or channel.creatives
    with progress() as bar:
        drafts = generate_creatives(
            understood,
            backend,
            n=asked,
            seed=order.seed,
            style=order.style(),
            selection=selection,
            winners={channel.assets[0].name: winners},
            progress=lambda piece, accepted, wanted, share: bar(
                f"{piece}s", share, 1.0, f": {accepted} of {wanted}"
            ),
        )
    missing = drafts.shortfall(asked)
    if form == "json":
        counts = {"asked": asked, "made": len(drafts.creatives), "shortfall": missing}
        print_json(counts | readable(drafts, brief, order.seed, backend.usage))
    else:
        _print_tables(drafts)
        notes.print(backend.usage.words(), style="dim")
    if missing is not None:
        typer.echo(missing, err=True)
    if not drafts.creatives:
        raise typer.Exit(NOTHING_MADE)


def gates() -> None:
    """Print the gates' thresholds as YAML: copy what you change, and name it with --gates."""
    from generator.screening.settings import FILE

    sys.stdout.write(FILE.read_text(encoding="utf-8"))


def screen(
    brief: Annotated[Path, typer.Argument(help="What the texts are for; see copyloop brief.")],
    texts: Annotated[Path, typer.Argument(help="A text file, one text on each line.")],
    thresholds: Gates = None,
    part: Annotated[
        str | None,
        typer.Option(
            help="Which piece of the brief's channel the texts are; it is as long as the channel "
            "says, counted as the channel counts.",
            show_default="the first one",
        ),
    ] = None,
    form: Form = "table",
) -> None:
    """Tell of texts written by anyone which pass the gates, and why the others do not.

    Texts are counted and bounded as the piece of the brief's channel is. Required claims are
    looked for where the channel puts them.
    """
    from rich.console import Console

    from generator.brief.schema import load_brief
    from generator.screening.screen import CandidateText, report, to_table
    from generator.screening.settings import load_thresholds
    from generator.writing.creatives import screen_of

    found = screen_of(load_brief(brief), part, load_thresholds(thresholds))
    batch = [CandidateText(line) for line in lines_of(texts)]
    verdicts = found.judge(batch)
    judged = [
        (written.text, verdict.rejection, verdict.scores)
        for written, verdict in zip(batch, verdicts, strict=True)
    ]
    rows = report(found.gates, batch, verdicts)
    if form == "json":
        said = [
            {
                "text": text,
                "code": refused and refused.code,
                "reason": refused and refused.words,
                "scores": scores,
            }
            for text, refused, scores in judged
        ]
        print_json({"texts": said, "gates": [row._asdict() for row in rows]})
        return
    told = [(text, *(refused or ("passed", ""))) for text, refused, _ in judged]
    console = Console()
    console.print(_table(("text", "gate", "why"), told))
    console.print(to_table(rows))


def demo(
    seed: Annotated[int, typer.Option(help="Of the audience and the model's draws.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option(help="A new folder for the run.", show_default="copyloop-demo/TIME"),
    ] = None,
    model: Model = "smollm2",
    light: Annotated[
        bool,
        typer.Option("--light", help="Headlines from a file: no model, no PyTorch, in a minute."),
    ] = False,
    creatives: Annotated[int, typer.Option(min=2, help="Written a placement and round.")] = 8,
    learn_seconds: Annotated[
        float | None,
        typer.Option(help="Traffic on the first creatives.", show_default="60, light: 25"),
    ] = None,
    compete_seconds: Annotated[
        float | None,
        typer.Option(help="Traffic with the new ones.", show_default="45, light: 20"),
    ] = None,
    visits: Annotated[float, typer.Option(help="Visits a second, over all placements.")] = 400.0,
) -> None:
    """Watch the whole loop: headlines, traffic, learning, and headlines from the winners.

    The audience is simulated; everything else is real. With the same seed the creatives and
    the visitors are the same; what the policy learns when depends on the machine's speed.
    """
    from rich.console import Console

    from generator.demo.story import DemoSettings, run_demo

    settings = DemoSettings(
        directory=data or Path("copyloop-demo") / time.strftime("%Y%m%d-%H%M%S"),
        seed=seed,
        model=None if light else model,
        creatives=creatives,
        learn_seconds=learn_seconds or (25.0 if light else 60.0),
        compete_seconds=compete_seconds or (20.0 if light else 45.0),
        visits_per_second=visits,
    )
    run_demo(settings, Console())


def lines_of(path: Path) -> list[str]:
    """Returns the texts in a file, one a line: UTF-8, or UTF-16 as a byte-order mark says.

    Raises:
        TextsError: it cannot be read so.
    """
    from generator.errors import AdsFileError, TextsError
    from generator.platforms.tables import decoded

    try:
        lines = decoded(path, path.read_bytes()).splitlines()
    except OSError as error:
        raise TextsError(f"{path}: cannot be read: {error}") from error
    except AdsFileError as error:
        raise TextsError(str(error).partition(", or name what")[0]) from error
    return [line.strip() for line in lines if line.strip()]


def readable(drafts: Drafts, brief: Brief, seed: int, usage: Usage) -> dict[str, object]:
    """Returns what came of a brief, for programs."""
    from generator.writing.creatives import candidate_lineage, lineage
    from generator.writing.insights import across_segments

    def creative(draft: Draft) -> dict[str, object]:
        row = {"parts": draft.parts, "lineage": lineage(draft, brief, seed=seed, parents={})}
        return row | ({"ad": brief.ad} if brief.ad else {})

    def refused(candidate: WrittenText) -> dict[str, object]:
        row = {"part": candidate.piece.name, "text": candidate.text}
        if candidate.rejection:
            row |= {"code": candidate.rejection.code, "reason": candidate.rejection.words}
        return row | {"lineage": candidate_lineage(candidate, {})}

    return {
        "accepted": [creative(draft) for draft in drafts.creatives],
        "rejected": [refused(candidate) for candidate in drafts.rejected],
        "left_over": [refused(candidate) for candidate in drafts.left_over],
        "segments": [row._asdict() for row in across_segments(_told(drafts))],
        "usage": vars(usage),
    }


def _print_tables(drafts: Drafts) -> None:
    from rich.console import Console
    from rich.markup import escape

    from generator.writing.insights import across_segments

    accepted = []
    for number, draft in enumerate(drafts.creatives, 1):
        for position, (part, text) in enumerate(draft.parts.items()):
            written = draft.written.get(part)
            label = written.prompt.label if written else "the brief"
            accepted.append(("" if position else str(number), part, text, label))
    refused = [(c.piece.name, c.text, *c.rejection) for c in drafts.rejected if c.rejection]
    console = Console()
    console.print(_table(("", "part", "text", "prompt"), accepted, title="accepted"))
    if drafts.rejected:
        console.print(_table(("part", "text", "gate", "why"), refused, title="refused"))
    console.print(drafts.summary())
    for row in across_segments(_told(drafts)):
        for concern in row.concerns:
            console.print(f"[yellow]segment {escape(row.segment)}[/yellow]: {escape(concern)}")


def _table(
    columns: Iterable[str], rows: Iterable[Iterable[str]], title: str | None = None
) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _told(drafts: Drafts) -> list[SegmentText]:
    """Returns every text that was written for a segment, and what it was refused for."""
    from generator.writing.insights import SegmentText

    kept = [candidate for draft in drafts.creatives for candidate in draft.written.values()]
    return [
        SegmentText(c.prompt.segment, c.text, c.rejection.code if c.rejection else None)
        for c in [*kept, *drafts.left_over, *drafts.rejected]
        if c.prompt.segment is not None
    ]
