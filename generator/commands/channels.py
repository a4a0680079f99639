"""`copyloop channels`: what an ad consists of on each platform, and how long a piece may be."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer

from generator.brief.channels import Asset, Channel, Counting, Detail, channel_names, load_channel
from streams.commands.options import Form
from streams.commands.output import print_rows

COUNTED: Final[dict[Counting, str]] = {
    "characters": "characters",
    "double_width": "characters; Chinese, Japanese and Korean ones twice",
    "gbk": "bytes of GBK: what is beyond ASCII twice",
    "x": "X's weights",
    "sms": "of 160 places; of 70 with signs beyond GSM's alphabet",
}
BEYOND: Final = {True: "refused", False: "cut off"}


def channels(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="Only these, with sources.", show_default="all"),
    ] = None,
    form: Form = "table",
) -> None:
    """List the channels that a brief may name: pieces, limits, and what an ad has beside them."""
    found = [load_channel(name) for name in names or channel_names()]
    if form == "json":
        print_rows(form, (), (), value=msgspec.to_builtins(found))
        return
    if not names:
        rows = [(c.name, ", ".join(map(piece, c.assets)), _beside(c), c.counting) for c in found]
        print_rows(form, ("channel", "pieces, and the longest", "beside them", "counted"), rows)
        return
    for channel in found:
        typer.echo(
            f"{channel.title}; {COUNTED[channel.counting]}; limits checked: {channel.checked}"
        )
        columns = ("name", "how many", "longest", "beyond that", "source")
        print_rows(form, columns, [*map(_asset, channel.assets), *map(_detail, channel.details)])


def piece(asset: Asset) -> str:
    """Returns an asset in words.

    >>> piece(load_channel("google_rsa").assets[0])
    'headline 3-15 x 30'
    """
    count = "" if asset.most == 1 else f" {asset.least}-{asset.most} x"
    return f"{asset.name}{count} {asset.max_units}"


def _beside(channel: Channel) -> str:
    return ", ".join(dict.fromkeys(detail.name for detail in channel.details)) or "-"


def _asset(asset: Asset) -> tuple[object, ...]:
    count = f"{asset.least} to {asset.most}" if asset.most > 1 else "1"
    return (asset.name, count, str(asset.max_units), BEYOND[asset.hard], asset.source)


def _detail(detail: Detail) -> tuple[object, ...]:
    name = f"{detail.name} of {detail.of}" if detail.of else detail.name
    longest = None if detail.max_units is None else str(detail.max_units)
    return (name, f"0 to {detail.most}", longest, BEYOND[True], detail.source)
