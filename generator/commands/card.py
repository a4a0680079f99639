"""How commands that make rows tell what they made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from streams.command_line import Form, print_json, print_rows

if TYPE_CHECKING:  # pyarrow takes a while
    from rich.progress import Progress

    from generator.data.dataset import Card


def progress_of(bar: Progress, what: str) -> Callable[[int, int], None]:
    """Returns what shows how many are done, and of how many, as a line of the bar."""
    task = bar.add_task(what, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)


def print_card(card: Card, form: Form) -> None:
    """Prints how many rows there are of each kind, and what was left out for which reason.

    Creatives whose clicks are doubted are named on standard error.
    """
    import msgspec
    from rich.console import Console

    if form == "json":
        print_json(msgspec.to_builtins(card))
        return
    for each in card.suspicious:
        Console(stderr=True).print(
            f"left out {each.creative_id} of {each.placement}, {each.rule}: {each.why}",
            markup=False,
        )
    rows = [[*name.split("/"), count] for name, count in sorted(card.rows.items())]
    rows += [["imitate", "paraphrased", card.paraphrased]] if card.paraphrased else []
    left_out = [["left out", why, count] for why, count in sorted(card.left_out.items())]
    print_rows(form, ("rows", "split or reason", "count"), [*rows, *left_out])
