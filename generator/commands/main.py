"""The `copyloop` command: every package's commands under one name.

It lives at the top of the arrow, the only place that may see all three packages. What users run
by hand stands at the top level; a package's own processes stand under the package's name.
"""

from __future__ import annotations

import typer

from bandit.commands import app as bandit_app
from bandit.errors import BanditError
from generator.commands import brief
from generator.commands.dataset import dataset, practise
from generator.commands.doctor import doctor
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
from generator.errors import GeneratorError
from streams.commands.log import app as streams_app
from streams.commands.options import make_app
from streams.errors import StreamsError
from streams.process import run_command

generator_app = make_app(
    "New creatives from a brief.",
    {
        "dataset": dataset,
        "practise": practise,
        "finetune": finetune,
        "doctor": doctor,
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
generator_app.add_typer(brief.app, name="brief")

PACKAGES = {"streams": streams_app, "bandit": bandit_app, "generator": generator_app}
BY_HAND = {
    *("acts", "audit", "demo", "doctor", "evaluate", "fit-delay", "fit-prior", "forget", "gates"),
    *("generate", "replay", "screen", "tune", "up"),
    *("brief", "creatives", "import", "keys", "policy"),
}

NOT_BY_HAND = {"generator": {"doctor"}}
"""Names that are another package's at the top level."""

app = make_app(
    "Generate ad creatives, pick among them with a bandit, learn from clicks, close the loop.", {}
)
for name, package in PACKAGES.items():
    own = typer.Typer(help=package.info.help, no_args_is_help=True)
    for command in package.registered_commands:
        by_hand = command.name in BY_HAND - NOT_BY_HAND.get(name, set())
        (app if by_hand else own).registered_commands.append(command)
    for group in package.registered_groups:
        (app if group.name in BY_HAND else own).registered_groups.append(group)
    app.add_typer(own, name=name)


def main() -> None:
    """Runs the command line; an error of ours prints its code and message, and exits with 2."""
    run_command(app, StreamsError, BanditError, GeneratorError)


if __name__ == "__main__":
    main()
