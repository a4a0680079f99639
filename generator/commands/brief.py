"""`copyloop brief`: start a brief from a template, check one, print the schema."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from generator.brief.channels import load_channel
from generator.brief.schema import Brief, brief_hash, load_brief
from generator.errors import BriefError
from streams.commands.options import make_app
from streams.commands.output import print_json
from streams.files.writing import BY_UMASK, write_whole

TEMPLATES: Final = Path(__file__).parents[1] / "brief" / "templates"


def template_names() -> tuple[str, ...]:
    """Returns the names of the templates, in alphabetical order.

    >>> "promotion" in template_names()
    True
    """
    return tuple(sorted(path.stem for path in TEMPLATES.glob("*.yaml")))


def new(
    file: Annotated[
        Path | None, typer.Argument(help="Where to write it; it must not exist. None: print it.")
    ] = None,
    template: Annotated[
        str, typer.Option(help=f"One of {', '.join(template_names())}.")
    ] = "product",
) -> None:
    """Write a brief to start from: a whole one for a made-up product, with a comment on top."""
    if template not in template_names():
        raise BriefError(
            f"template {template!r} is unknown; expected one of {', '.join(template_names())}"
        )
    text = (TEMPLATES / f"{template}.yaml").read_text(encoding="utf-8")
    if file is None:
        sys.stdout.write(text)
        return
    try:
        if file.exists():
            raise FileExistsError("there is a file already")
        write_whole(file, text.encode(), mode=BY_UMASK)
    except OSError as error:
        raise BriefError(f"{file}: cannot be written: {error}") from error
    typer.echo(f"{file}: written; change it, then: copyloop brief check {file}", err=True)


def check(
    files: Annotated[list[Path], typer.Argument(help="YAML or JSON files.")],
) -> None:
    """Check briefs: what each is understood to say, or what is wrong with it.

    A brief that generate would refuse is refused here too. Warnings are of slips that are likely,
    and of what the brief says and the gates refuse.
    """
    bad = [problem for problem in map(_checked, files) if problem]
    if bad:
        raise BriefError("\n".join(bad))


def _checked(file: Path) -> str | None:
    """Returns what is wrong with the brief; prints what it says where it is good."""
    from generator.writing.briefs import check_usable, understood, warnings

    try:
        brief = load_brief(file)
        check_usable(brief, file.parent)
    except BriefError as error:
        said = str(error)
        return said if said.startswith(str(file)) else f"{file}: {said}"
    channel = brief.environment.channel
    where = load_channel(channel).title if channel else "no channel: headlines alone"
    typer.echo(f"{file}: good; {where}; hash {brief_hash(brief)}")
    for line in understood(brief):
        typer.echo(f"  {line}")
    for warning in warnings(brief, file):
        typer.echo(f"{file}: warning: {warning}", err=True)
    return None


def schema() -> None:
    """Print the JSON Schema of a brief, for editors and other programs."""
    print_json(brief_schema())


def brief_schema() -> dict[str, Any]:
    """Returns the JSON Schema (2020-12) of a brief of the present version."""
    described: dict[str, Any] = msgspec.json.schema(Brief)
    for definition in described["$defs"].values():
        definition["description"] = inspect.cleandoc(definition["description"])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


app = make_app(
    "Start a brief, check it, print its schema.", {"new": new, "check": check, "schema": schema}
)
