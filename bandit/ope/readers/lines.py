"""The numbered lines of a text file, as the readers of logs take them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bandit.errors import ReaderError

BOM: Final = b"\xef\xbb\xbf"
NO_TEXT: Final = {
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; unpack it first",
    b"PK\x03\x04": "a zip archive; unpack it first",
}
"""How files begin that are no text in UTF-8, and what they are."""


class Line(NamedTuple):
    """One line of a file.

    Attributes:
        number: of the line, from 1.
        where: `FILE:NUMBER`.
        text: without a byte-order mark and without its line break, of Unix or of Windows.
        ended: False for a last line without a line break.
    """

    number: int
    where: str
    text: bytes
    ended: bool


def read_lines(path: Path) -> Iterator[Line]:
    """Yields the lines of a file, blank ones too.

    A byte-order mark may begin any line, since files that have one are concatenated.

    Raises:
        ReaderError: the file cannot be opened, or is no text in UTF-8.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    _check_text(path, line)
                text = line.removeprefix(BOM).rstrip(b"\r\n")
                yield Line(number, f"{path}:{number}", text, line.endswith(b"\n"))
    except OSError as error:
        raise ReaderError(f"{path} cannot be read: {error.strerror}") from error


def _check_text(path: Path, start: bytes) -> None:
    for magic, kind in NO_TEXT.items():
        if start.startswith(magic):
            raise ReaderError(f"{path} is {kind}")
