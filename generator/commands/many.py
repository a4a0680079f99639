"""`copyloop generate` for a folder of briefs, or for a feed, as well as for one: one model."""

from __future__ import annotations

import hashlib
from copy import copy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from generator.commands.generate import Order, lines_of, readable
from generator.commands.generate import generate as generate_one
from generator.errors import BriefError, FeedError
from streams.commands.options import Form
from streams.commands.output import Progress, print_json, progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from generator.feeds.running import Job, Outcome, Result
    from generator.models.base import Backend


def generate(order: Order, form: Form = "table") -> None:
    """Write creatives for a brief, and say why each of the other texts was refused.

    For a folder of briefs, or a feed of products, the model is loaded once, and what comes of each
    goes into the folder --out.
    """
    if order.feed is not None or order.brief.is_dir():
        generate_many(order, form)
    else:
        generate_one(order, form)


def generate_many(order: Order, form: Form) -> None:
    """Writes creatives for each brief of a folder, or each item of a feed, into a folder.

    Raises:
        FeedError: the feed cannot be read, or the template does not fit it.
        BriefError: there is no brief.
        BackendError: the model failed.
    """
    from generator.feeds.running import write_all, write_report
    from streams.checkpoint import exclusive
    from streams.files.writing import make_folder

    if order.out is None:
        raise typer.BadParameter("many briefs are written into a folder; name one by --out")
    if order.out.resolve() == order.brief.resolve():
        raise typer.BadParameter("--out is the folder of the briefs; name another")
    jobs, bad = _jobs(order)
    make_folder(order.out)
    with exclusive(order.out, "generate"), progress() as bar:
        outcomes = write_all(
            jobs,
            order.out,
            _writer(order, bar),
            made_of=made_of(order),
            progress=lambda done, job: bar("briefs", done, len(jobs), f": {job.name}"),
        )
    outcomes += bad
    write_report(order.out, outcomes, jobs)
    _tell(order.out, outcomes, form)
    if any(outcome.status in ("failed", "nothing passed") for outcome in outcomes):
        raise typer.Exit(1)


def _writer(order: Order, bar: Progress) -> Callable[[Job], Result]:
    """Returns what writes for one brief; the model is loaded at the first, and then kept."""
    from generator.material.understanding import understand
    from generator.models.catalog import load_models
    from generator.models.opening import open_backend
    from generator.writing.creatives import channel_of, generate_creatives

    selection, models = order.selection(), load_models(order.model, adapter=order.adapter)
    winners = () if order.winners is None else tuple(lines_of(order.winners))

    @cache
    def opened() -> Backend:
        bar("this one", 0.0, None, f": loading {order.model}")
        return open_backend(models)

    def write(job: Job) -> Result:
        backend = opened()
        brief = understand(job.brief, models, base=job.base).brief
        channel, before = channel_of(brief), copy(backend.usage)
        drafts = generate_creatives(
            brief,
            backend,
            n=order.n or channel.creatives,
            seed=order.seed,
            style=order.style(),
            selection=selection,
            winners={channel.assets[0].name: winners},
            progress=lambda piece, got, wanted, share: bar(
                "this one", share, 1.0, f": {piece}s, {got} of {wanted}"
            ),
        )
        found = readable(drafts, job.brief, order.seed, backend.usage)
        spent = {k: v - vars(before)[k] for k, v in vars(backend.usage).items()}
        return msgspec.to_builtins({**found, "usage": spent})  # type: ignore[no-any-return]

    return write


def _jobs(order: Order) -> tuple[list[Job], list[Outcome]]:
    from generator.feeds.merchant import read_feed
    from generator.feeds.running import jobs_of_feed, jobs_of_folder
    from generator.feeds.template import check_names, read_template

    if order.feed is None:
        found = jobs_of_folder(order.brief)
    else:
        feed, template = read_feed(order.feed), read_template(order.brief)
        check_names(template, feed.items, feed.columns)
        found = jobs_of_feed(feed, template, order.brief.parent)
    if not found[0]:
        first = found[1][0]
        kind = FeedError if order.feed is not None else BriefError
        raise kind(f"none of {len(found[1])} briefs can be used; {first.name}: {first.why}")
    return found


def made_of(order: Order) -> str:
    """Returns a hash of all that what is written depends on, but for the brief."""
    files = [order.winners, order.thresholds, Path(order.model)]
    read = [path.read_bytes() if path and path.is_file() else b"" for path in files]
    options = order._replace(brief=Path(), feed=None, out=None)
    told = msgspec.json.encode([str(each) for each in options])
    return hashlib.blake2b(b"\0".join([told, *read]), digest_size=8).hexdigest()


def _tell(out: Path, outcomes: list[Outcome], form: Form) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if form == "json":
        print_json([outcome._asdict() for outcome in outcomes])
        return
    table = Table("brief", "", "creatives", "refused", "most often, or why")
    for each in outcomes:
        count = (str(each.accepted), str(each.refused))
        table.add_row(escape(each.name), each.status, *count, escape(each.why))
    console = Console()
    console.print(table)
    total = sum(each.accepted for each in outcomes)
    short = sum(each.status in ("failed", "nothing passed") for each in outcomes)
    console.print(f"{total} creatives of {len(outcomes)} briefs in {out}", markup=False)
    if short:
        console.print(f"{short} briefs brought nothing; the table says why")
