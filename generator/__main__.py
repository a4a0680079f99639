"""The commands of `generator`: generate from a brief, serve requests, and the demo."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from bandit.errors import BanditError
from generator.commands.brief import app as brief_app
from generator.commands.dataset import dataset
from generator.commands.finetune import finetune
from generator.commands.practise import practise
from generator.commands.reward import reward_model
from generator.commands.screen import Gates, gates, screen
from generator.commands.teach import teach
from generator.commands.versions import (
    adopt,
    explain,
    list_versions,
    promote,
    reject,
    rollback,
)
from generator.errors import GeneratorError
from streams.command_line import (
    LOCALHOST,
    Data,
    LogFormat,
    LogUrl,
    MetricsHost,
    MetricsPort,
    log_url,
)
from streams.errors import StreamsError
from streams.generator_versions import TRIAL_DECISIONS
from streams.process import long_running, run_command

app = typer.Typer(
    help="New creatives from a brief.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(brief_app, name="brief")
app.command()(dataset)
app.command()(practise)
app.command()(finetune)
app.command()(teach)
app.command()(adopt)
app.command("list")(list_versions)
app.command()(promote)
app.command()(reject)
app.command()(rollback)
app.command()(explain)
app.command()(reward_model)

Model = Annotated[
    str,
    typer.Option(
        help="smollm2 (packaged), a folder, a hub id, URL#NAME, or a YAML file of models."
    ),
]


Reader = Annotated[
    str,
    typer.Option(help="What reads texts to rank new ones: wordllama, minilm, smollm2, or with +."),
]


@app.command()
def run(
    data: Data = Path("copyloop-data"),
    log: LogUrl = None,
    model: Model = "smollm2",
    reader: Reader = "wordllama",
    thresholds: Gates = None,
    trial_decisions: Annotated[
        int,
        typer.Option(min=1, help="After so many a version on trial that is no better is pulled."),
    ] = TRIAL_DECISIONS,
    metrics_host: MetricsHost = LOCALHOST,
    metrics_port: MetricsPort = None,
    log_format: LogFormat = "text",
) -> None:
    """Generate creatives for the requests in the log, until stopped."""
    from generator.models.opening import check_installed
    from generator.screening.settings import load_thresholds
    from generator.versions.store import versions_in
    from generator.worker import COUNTED, GeneratorCounts, run_generator

    check_installed(model)
    url, counts = log_url(log, data), GeneratorCounts()
    with long_running(
        "generator",
        url,
        metrics_host=metrics_host,
        metrics_port=metrics_port,
        log_format=log_format,
    ) as running:
        running.metrics.add_counts("generator", counts, COUNTED)
        run_generator(
            running.log,
            data / "checkpoints",
            model=model,
            stop=running.stop,
            counts=counts,
            material=data / "material",
            versions=versions_in(data),
            reader=reader,
            thresholds=load_thresholds(thresholds),
            trial_decisions=trial_decisions,
        )


app.command()(gates)
app.command()(screen)


@app.command()
def generate(
    brief: Annotated[Path, typer.Argument(help="A YAML or JSON file; see copyloop brief.")],
    n: Annotated[
        int | None,
        typer.Option("--n", min=1, help="How many creatives.", show_default="by channel, 1 or 20"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same creatives.")] = 1,
    model: Model = "smollm2",
    adapter: Annotated[
        str | None, typer.Option(help="A LoRA adapter: a folder, a hub id, or its served name.")
    ] = None,
    temperature: Annotated[float, typer.Option(min=0.01, help="Lower keeps to the likely.")] = 0.6,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="Mass to draw from.")] = 0.9,
    min_p: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Least share of the likeliest token's.")
    ] = 0.0,
    presence_penalty: Annotated[
        float, typer.Option(min=-2.0, max=2.0, help="Higher says less twice in a text.")
    ] = 0.0,
    winners: Annotated[
        Path | None, typer.Option(help="A text file: headlines that did well, one a line.")
    ] = None,
    over: Annotated[
        float, typer.Option(min=1.0, help="Texts that pass for each that is kept; the best stay.")
    ] = 1.5,
    reward: Annotated[
        Path | None,
        typer.Option(
            help="A reward model to rank by: a file of generator reward-model, or the folder of "
            "generator finetune --method reward."
        ),
    ] = None,
    thresholds: Gates = None,
    form: Annotated[Literal["table", "json"], typer.Option("--format")] = "table",
) -> None:
    """Write creatives for a brief, and say why each of the other texts was refused."""
    from generator.commands.generate import Order, generate_command
    from generator.screening.settings import load_thresholds
    from generator.writing.texts import Selection, Style

    style = Style(temperature, top_p, min_p, presence_penalty)
    selection = Selection(over, thresholds=load_thresholds(thresholds))
    if reward is not None:
        from generator.reward.ranking import ranking_of

        selection = selection._replace(rank=ranking_of(reward))
    generate_command(Order(brief, n, seed, model, adapter, style, winners, form, selection))


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Of the audience and the model's draws.")] = 1,
    data: Annotated[
        Path | None,
        typer.Option(help="A new folder for the run.", show_default="copyloop-demo/TIME"),
    ] = None,
    model: Model = "smollm2",
    creatives: Annotated[int, typer.Option(min=2, help="Written a placement and round.")] = 8,
    learn_seconds: Annotated[float, typer.Option(help="Traffic on the first creatives.")] = 60.0,
    compete_seconds: Annotated[float, typer.Option(help="Traffic with the new ones.")] = 45.0,
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
        model=model,
        creatives=creatives,
        learn_seconds=learn_seconds,
        compete_seconds=compete_seconds,
        visits_per_second=visits,
    )
    run_demo(settings, Console())


if __name__ == "__main__":
    run_command(app, StreamsError, BanditError, GeneratorError)
