"""`copyloop creatives import` and `export`: ads from the platforms, and back to them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_args

import typer

from streams.commands.options import Form, LogOptions, operator
from streams.commands.output import print_json, progress
from streams.events import CreativeStatus

if TYPE_CHECKING:
    from generator.platforms.ads import AdsFile
    from generator.platforms.importing import Imported

Kind: TypeAlias = Literal["google-ads", "meta", "csv", "json", "openrtb-native"]
PlacementName = Annotated[str, typer.Argument(metavar="PLACEMENT", help="Whose they are.")]
Encoding = Annotated[
    str | None,
    typer.Option(help="Of the text, such as gbk.", show_default="by platform and byte-order mark"),
]


def import_ads(
    *,
    placement: PlacementName,
    file: Annotated[Path, typer.Argument(help="A table or JSON, as a platform exports it.")],
    at: LogOptions,
    kind: Annotated[
        Kind | None, typer.Option("--from", help="What it is.", show_default="by its header")
    ] = None,
    status: Annotated[
        CreativeStatus | None,
        typer.Option(help="Of new creatives.", show_default="as the file says, live if not"),
    ] = None,
    most_showings: Annotated[
        int,
        typer.Option(
            min=0,
            max=10_000,
            help="What a creative's impressions count as, at most; 0: clicks say nothing.",
        ),
    ] = 1000,
    encoding: Encoding = None,
    form: Form = "table",
) -> None:
    """Take in the ads that an account has, with what their clicks say.

    The file is read through before anything is written; bad rows are named by number. Taken in
    again, it changes nothing; figures that have grown add what is new. The placement is made if
    it is not there.
    """
    from generator.platforms.formats import read_ads
    from generator.platforms.importing import planned, take_in_ads
    from streams.catalogue.writer import CatalogueWriter
    from streams.checkpoint import exclusive
    from streams.files.writing import make_folder
    from streams.logs.embedded import wall_clock_ms
    from streams.topics import create_topics

    found = read_ads(file, kind, encoding)
    make_folder(at.data)
    with exclusive(at.data, f"import {placement}"), at.opened() as here, progress() as shown:
        create_topics(here)
        plan = planned(
            CatalogueWriter(here).catalogue,
            placement,
            found.ads,
            status=status,
            now_ms=wall_clock_ms(),
            progress=lambda done, total: shown("reading texts", done, total),
        )
        imported = take_in_ads(
            here,
            placement,
            plan,
            by=operator(),
            # An export's figures are of the past, and until then at the latest.
            at_ms=min(int(file.stat().st_mtime * 1000), wall_clock_ms()),
            most=most_showings,
            progress=lambda done, total: shown("taking in what was seen", done, total),
        )
    _report(placement, found, imported, form)


def export(
    *,
    placement: PlacementName,
    file: Annotated[Path | None, typer.Argument(help="Where to.", show_default="stdout")] = None,
    at: LogOptions,
    kind: Annotated[Kind, typer.Option("--to", help="What for.")] = "json",
    status: Annotated[
        list[str] | None, typer.Option(help="Only these; repeat.", show_default="live")
    ] = None,
    creative: Annotated[list[str] | None, typer.Option(help="Only these, by id; repeat.")] = None,
    final_url: Annotated[
        str | None, typer.Option(help="Where clicks lead, of creatives that do not say so.")
    ] = None,
    request: Annotated[
        Path | None, typer.Option(help="An exchange's OpenRTB Native request to answer.")
    ] = None,
    guard: Annotated[
        bool,
        typer.Option(help="Put an apostrophe before a cell that a spreadsheet would run."),
    ] = True,
    encoding: Encoding = None,
) -> None:
    """Write creatives as a platform takes them, all of them or none.

    What a platform cannot hold is refused by creative, and why. `json` keeps everything.
    """
    from msgspec.structs import replace

    from generator.errors import PlacementUnknown
    from generator.platforms.formats import write_ads
    from generator.platforms.importing import exported
    from generator.platforms.openrtb import read_request
    from streams.catalogue.writer import CatalogueWriter
    from streams.files.writing import BY_UMASK, write_whole

    unknown = sorted(set(status or ()) - set(get_args(CreativeStatus)))
    if unknown:
        known = ", ".join(get_args(CreativeStatus))
        raise typer.BadParameter(f"--status is {unknown[0]!r}; expected one of {known}")
    if request is not None and kind != "openrtb-native":
        raise typer.BadParameter("--request is of an exchange; add --to openrtb-native")
    with at.looked_into() as here:
        catalogue = CatalogueWriter(here).catalogue
        every = list(catalogue.creatives(placement))
    if not every and catalogue.placement(placement) is None:
        known = ", ".join(each.name for each in catalogue.placements()) or "none"
        raise PlacementUnknown(f"there is no placement {placement!r}; the log has: {known}")
    ads = exported(every, status or ["live"], creative or ())
    if final_url is not None:
        ads = [
            ad if ad.ad.final_url else replace(ad, ad=replace(ad.ad, final_url=final_url))
            for ad in ads
        ]
    wanted = None if request is None else read_request(request)
    data = write_ads(ads, kind, encoding=encoding, guard=guard, wanted=wanted)
    if file is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    else:
        write_whole(file, data, mode=BY_UMASK)
        typer.echo(f"{file}: {len(ads)} creatives, as {kind}", err=True)


def _report(placement: str, found: AdsFile, imported: Imported, form: str) -> None:
    if form == "json":
        passed = {"skipped": dict(found.skipped), "left_out": found.left_out}
        print_json({"placement": placement, **imported._asdict(), **passed})
        return
    typer.echo(f"placement {placement}: {imported.new} new creatives, {imported.known} were there")
    if imported.showings or imported.known_showings:
        typer.echo(
            f"* what was seen of them counts as {imported.showings:,} showings more; "
            f"{imported.known_showings:,} were there"
        )
    if imported.merged:
        typer.echo(f"* {imported.merged} rows say the same ad again; their figures were added")
    for what, count in found.skipped.items():
        typer.echo(f"* passed over: {count} {what}")
    if found.left_out:
        typer.echo(f"* columns that nothing here reads: {', '.join(found.left_out)}")
    for note in imported.notes:
        typer.echo(f"* {note}")
