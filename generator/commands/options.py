"""The options that several commands of `generator` have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

BareModel = Annotated[
    str, typer.Option(help="The bare model that is taught: smollm2 (packaged), a folder, a hub id.")
]
Reader = Annotated[
    str,
    typer.Option(
        help="What reads the texts: wordllama, minilm, smollm2, sentence:MODEL, "
        "hidden:MODEL@LAYER, or several joined by +."
    ),
]
Adapter = Annotated[
    str | None,
    typer.Option(
        help="A LoRA adapter to write with: a folder, a hub id, or its served name.",
        show_default="the bare model",
    ),
]
RewardModel = Annotated[
    Path | None,
    typer.Option(
        help="A reward model to rank by: a file of generator reward-model, or the folder of "
        "generator finetune --method reward."
    ),
]
Gates = Annotated[
    Path | None, typer.Option("--gates", help="Thresholds to change; see copyloop gates.")
]
Rows = Annotated[Path, typer.Argument(help="A folder for the rows and their card.")]
