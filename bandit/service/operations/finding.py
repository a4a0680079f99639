"""What a look of the doctor's finds."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["ok", "warning", "failure"]


class Finding(Struct, frozen=True):
    """Whether something is well, what it is, and what to do if it is not."""

    check: str
    state: State
    found: str
    do: str = ""
