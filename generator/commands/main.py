"""The `copyloop` command: every package's commands under one name.

It lives at the top of the arrow, the only place that may see all three packages. What users run
by hand stands at the top level; a package's own processes stand under the package's name.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from bandit.commands import app as bandit_app
from bandit.errors import BanditError
from generator.commands import brief
from generator.commands.channels import channels
from generator.commands.creatives import export, import_ads
from generator.commands.dataset import dataset, practise
from generator.commands.doctor import doctor
from generator.commands.finetune import finetune, reward_model
from generator.commands.generate import demo, gates, screen
from generator.commands.many import generate
from generator.commands.processes import run, teach
from generator.commands.serve import serve
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
from streams.commands.options import make_app, spread
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
        "serve": serve,
        "gates": gates,
        "channels": channels,
        "screen": screen,
        "generate": generate,
        "demo": demo,
    },
)
generator_app.add_typer(brief.app, name="brief")

PACKAGES = {"streams": streams_app, "bandit": bandit_app, "generator": generator_app}
PANELS: Final = {
    "Start": ("up", "demo", "doctor"),
    "Creatives": ("brief", "generate", "screen", "gates", "channels", "creatives"),
    "Learn from logs": ("import", "evaluate", "tune", "replay", "fit-prior", "fit-delay"),
    "Operate": ("policy", "keys", "acts", "audit", "forget"),
    "Single processes": tuple(PACKAGES),
}
"""What users run by hand stands at the top level, in this order; the rest below its package."""
ORDER: Final = [name for names in PANELS.values() for name in names]


class InOrder(TyperGroup):
    """A group whose help lists commands in the order of the panels."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the names of the commands, in order."""
        return sorted(super().list_commands(ctx), key=ORDER.index)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"copyloop {version('copyloop')}")
        raise typer.Exit


app = make_app(
    "Generate ad creatives, pick among them with a bandit, learn from clicks, close the loop.", {}
)


@app.callback(cls=InOrder)
def _root(
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


for package_name, package in PACKAGES.items():
    own = typer.Typer(help=package.info.help, no_args_is_help=True)
    for command in package.registered_commands:
        # The loop has a doctor as well, which is the one at the top level.
        own_doctor = (package_name, command.name) == ("generator", "doctor")
        by_hand = command.name in ORDER and not own_doctor
        (app if by_hand else own).registered_commands.append(command)
    for group in package.registered_groups:
        (app if group.name in ORDER else own).registered_groups.append(group)
    app.add_typer(own, name=package_name)
for panel, names in PANELS.items():
    for command in app.registered_commands:
        if command.name in names:
            command.rich_help_panel = panel
    for group in app.registered_groups:
        if group.name in names:
            group.rich_help_panel = panel
# What the generator adds to the commands of creatives, which stand under one name.
for group in app.registered_groups:
    if group.name == "creatives" and group.typer_instance is not None:
        group.typer_instance.command("import")(spread(import_ads))
        group.typer_instance.command("export")(spread(export))


def main() -> None:
    """Runs the command line; an error of ours prints its code and message, and exits with 2."""
    run_command(app, StreamsError, BanditError, GeneratorError)


if __name__ == "__main__":
    main()
