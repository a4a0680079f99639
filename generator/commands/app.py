"""All commands of `generator` under one name."""

from __future__ import annotations

from generator.commands import brief
from generator.commands.dataset import dataset, practise
from generator.commands.finetune import finetune, reward_model
from generator.commands.generate import demo, gates, generate, screen
from generator.commands.processes import run, teach
from generator.commands.versions import (
    adopt,
    explain,
    list_versions,
    promote,
    reject,
    rollback,
)
from streams.commands.options import make_app

app = make_app(
    "New creatives from a brief.",
    {
        "dataset": dataset,
        "practise": practise,
        "finetune": finetune,
        "teach": teach,
        "adopt": adopt,
        "list": list_versions,
        "promote": promote,
        "reject": reject,
        "rollback": rollback,
        "explain": explain,
        "reward-model": reward_model,
        "run": run,
        "gates": gates,
        "screen": screen,
        "generate": generate,
        "demo": demo,
    },
)
app.add_typer(brief.app, name="brief")
