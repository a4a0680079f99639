"""Tables of text as spreadsheets and ad platforms write them: encodings, delimiters, formulas.

A cell that a spreadsheet would run as a formula gets an apostrophe in front, which reading takes
off again, so that a table which is written and read is the same
(https://owasp.org/www-community/attacks/CSV_Injection).
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from generator.errors import AdsFileError

HEADER_WITHIN: Final = 20
"""Reports have lines of their own above the header; it is looked for among so many rows."""
LONGEST_CELL: Final = 1_000_000
DELIMITERS: Final = "\t,;"
# What follows = or @ is run; + and - begin slogans, too ("-50 % today"), and call nothing without
# a bracket, a pipe or a reference to another sheet.
_FORMULA: Final = r"(?:[=@\t\r\uff1d\uff20]|[+\-\uff0b\uff0d](?=.*[(|!=\[]))"
_RUN: Final = re.compile(rf"'*{_FORMULA}", re.DOTALL)
_GUARDED: Final = re.compile(rf"'+{_FORMULA}", re.DOTALL)


class Table(NamedTuple):
    """A header, and the rows below it by column; each row has its number as spreadsheets count."""

    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, str]]]


def guarded(text: str) -> str:
    """Returns a cell that no spreadsheet runs.

    >>> guarded("=HYPERLINK(A1)"), guarded("-50 % today"), guarded("+1+cmd|' /C calc'!A0")
    ("'=HYPERLINK(A1)", '-50 % today', "'+1+cmd|' /C calc'!A0")
    """
    return f"'{text}" if _RUN.match(text) else text


def unguarded(text: str) -> str:
    """Returns what `guarded` was given."""
    return text[1:] if _GUARDED.match(text) else text


def canonical(column: str) -> str:
    """Returns a column's name without what Google Ads Editor does not mind: case and spaces.

    >>> canonical("Ad group"), canonical("AD_GROUP")
    ('adgroup', 'adgroup')
    """
    return re.sub(r"[\s_]+", "", column).casefold()


def decoded(path: Path, data: bytes, encoding: str | None = None) -> str:
    """Returns a file's text: by its byte-order mark, else UTF-16 or UTF-8, else as told.

    Raises:
        AdsFileError: it is neither, or not as told.
    """
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise AdsFileError(
            f"{path}: is a workbook or an archive; save the sheet as CSV in UTF-8, or unpack it"
        )
    if encoding is None:
        encoding = _encoding_of(data)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except (UnicodeDecodeError, LookupError) as error:
        raise AdsFileError(
            f"{path}: cannot be read as {encoding}: {error}; save the file as UTF-8, or name what "
            "it is, such as --encoding gbk"
        ) from error


def _encoding_of(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    start = data[:2000]
    # Latin letters in UTF-16 have a zero byte each, at the same side of all.
    for zeros, name in ((start[1::2], "utf-16-le"), (start[::2], "utf-16-be")):
        if zeros.count(0) > len(zeros) // 2 > 0:
            return name
    return "utf-8-sig"


def read_table(
    path: Path, text: str, is_header: Callable[[frozenset[str]], bool], expected: str
) -> Table:
    """Returns the table in a text.

    Args:
        path: for the message.
        text: the whole file.
        is_header: whether a row with these canonical names is the header.
        expected: the same in words.

    Raises:
        AdsFileError: there is no such row, or it is no table.
    """
    found = find_header(path, text, is_header)
    if found is not None:
        return _table(path, *found)
    first = next((line for line in text.splitlines() if line.strip()), "")
    raise AdsFileError(
        f"{path}: no header was found; expected a row with {expected}, and the file begins "
        f"{first[:60]!r}"
    )


def find_header(
    path: Path,
    text: str,
    is_header: Callable[[frozenset[str]], bool],
    named: Callable[[str], str] = canonical,
) -> tuple[list[list[str]], int] | None:
    """Returns a text's rows and where the header is among them, None if none is.

    Args:
        path: for the message.
        text: the whole file.
        is_header: whether a row with these names is the header.
        named: makes the name of a cell.

    Raises:
        AdsFileError: quotes in the table are not closed, or a cell is longer than any text.
    """
    for delimiter in DELIMITERS:
        rows = _rows(path, text, delimiter)
        for place, row in enumerate(rows[:HEADER_WITHIN]):
            if is_header(frozenset(named(unguarded(each)) for each in row)):
                _check_quotes(path, text, delimiter)
                return rows, place
    return None


def _table(path: Path, rows: Sequence[Sequence[str]], place: int) -> Table:
    columns = tuple(unguarded(each).strip() for each in rows[place])
    twice = {each for each in columns if each and columns.count(each) > 1}
    if twice:
        raise AdsFileError(f"{path}: column {min(twice)!r} is there twice; take one out")
    below = []
    for number, row in enumerate(rows[place + 1 :], place + 2):
        if any(each.strip() for each in row):
            cells = [unguarded(each) for each in row] + [""] * (len(columns) - len(row))
            if any(each.strip() for each in cells[len(columns) :]):
                extra = next(each for each in cells[len(columns) :] if each.strip())
                raise AdsFileError(
                    f"{path}: row {number} has more cells than the header has columns "
                    f"({len(columns)}): {extra[:40]!r}; quote what holds the delimiter"
                )
            named = zip(columns, cells, strict=False)
            below.append((number, {name: each for name, each in named if name}))
    return Table(tuple(each for each in columns if each), below)


def _rows(path: Path, text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return list(reader)
    except csv.Error as error:
        raise AdsFileError(f"{path}: line {reader.line_num}: {error}") from error


def _check_quotes(path: Path, text: str, delimiter: str) -> None:
    """Refuses a quote that is never closed, or closed by one that opens another cell.

    Either takes whole rows into one cell.
    """
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(iter(lines), delimiter=delimiter)
    start = 0
    for number, _ in enumerate(reader, 1):
        end = reader.line_num
        # Within one line a quote at an odd place takes nothing along.
        if end - start > 1 or end == len(lines):
            try:
                list(csv.reader(lines[start:end], delimiter=delimiter, strict=True))
            except csv.Error as error:
                if end - start > 1 or "end of data" in str(error):
                    raise AdsFileError(
                        f"{path}: row {number} (line {start + 1}) opens a quote that is not closed "
                        f"where its cell ends: {lines[start][:60].strip()!r}; close it, or double "
                        "the quotes inside a cell"
                    ) from error
        start = end


def written_table(
    columns: Sequence[str],
    rows: Iterable[Mapping[str, str]],
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    guard: bool = True,
) -> bytes:
    """Returns a table as bytes, its lines ended as spreadsheets end them.

    Args:
        columns: the header.
        rows: cells by column; a missing one is empty.
        delimiter: between cells.
        encoding: of the whole.
        guard: whether cells that a spreadsheet would run get an apostrophe.
    """
    file = io.StringIO(newline="")
    # A lone carriage return would end a line for some readers, so it is quoted like a delimiter.
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
    writer.writerow([guarded(each) for each in columns] if guard else columns)
    for row in rows:
        cells = [row.get(column, "") for column in columns]
        writer.writerow([guarded(each) for each in cells] if guard else cells)
    return file.getvalue().encode(encoding)
