"""The kinds of files that ads come and go in: told apart, read, and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, get_args

from generator.errors import AdsFileError
from generator.platforms import google_ads, meta, openrtb, own, plain
from generator.platforms.ads import MOST_TOLD, Ad, AdsFile
from generator.platforms.languages import ENGLISH_ONLY, is_foreign
from generator.platforms.tables import decoded, find_header

FileKind: TypeAlias = Literal["google-ads", "meta", "csv", "json", "openrtb-native"]
KINDS: Final[tuple[FileKind, ...]] = get_args(FileKind)


class _Write(Protocol):
    def __call__(self, ads: Sequence[Ad], *, encoding: str | None, guard: bool) -> bytes: ...


class _Format(NamedTuple):
    """How a kind of file is read and written, and why an ad cannot be."""

    read: Callable[[Path, str], AdsFile]
    problem: Callable[[Ad], str | None]
    write: _Write


_FORMATS: Final[Mapping[FileKind, _Format]] = {
    "google-ads": _Format(google_ads.read, google_ads.problem, google_ads.write),
    "meta": _Format(meta.read, meta.problem, meta.write),
    "csv": _Format(plain.read, plain.problem, plain.write),
    "json": _Format(own.read, own.problem, own.write),
    "openrtb-native": _Format(openrtb.read, openrtb.problem, openrtb.write),
}
SHOWN_ONLY: Final = ("google-ads", "meta")
"""Where an ad is booked it is shown or paused, and nothing else."""


def read_ads(path: Path, kind: FileKind | None = None, encoding: str | None = None) -> AdsFile:
    """Returns the ads in a file, whole or not at all.

    Args:
        path: the file.
        kind: what it is; None to tell by its content.
        encoding: of its text; None for what its byte-order mark says, else UTF-8 or UTF-16.

    Raises:
        AdsFileError: it cannot be read; bad rows are named by number.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AdsFileError(f"{path}: cannot be read: {error}") from error
    text = decoded(path, data, encoding)
    if not text.strip():
        raise AdsFileError(f"{path}: is empty; expected a file of ads")
    known = kind or kind_of(path, text)
    try:
        return _read(path, text, known)
    except AdsFileError as error:
        said = str(error).removeprefix(f"{path}: ")
        guess = "" if kind else f"taken for {known} (if it is another kind, name it by --from): "
        raise AdsFileError(f"{path}: {guess}{said}") from error


def _read(path: Path, text: str, kind: FileKind) -> AdsFile:
    tables = ("google-ads", "meta", "csv")
    if kind in tables and not is_own(path, text) and find_header(path, text, is_foreign):
        raise AdsFileError(f"{path}: {ENGLISH_ONLY}")
    found = _FORMATS[kind].read(path, text)
    if not found.ads:
        passed = "; ".join(f"{count} {what}" for what, count in found.skipped.items())
        raise AdsFileError(f"{path}: no ad is in it{f' ({passed})' if passed else ''}")
    return found


def is_own(path: Path, text: str) -> bool:
    """Returns whether a text is a table of copyloop's own, whose columns are named to the letter.

    `headline_1` is ours, `Headline 1` is Google's, though to Google both are one column.
    """
    return find_header(path, text, plain.is_own_header, named=str.strip) is not None


def kind_of(path: Path, text: str) -> FileKind:
    """Returns what kind of file a text is, by how it begins and by its header."""
    start = text.lstrip()[:1]
    if start == "[" or (start == "{" and not _is_response(text)):
        return "json"
    if start == "{":
        return "openrtb-native"
    if is_own(path, text):
        return "csv"
    if find_header(path, text, google_ads.is_header) is not None:
        return "google-ads"
    return "csv" if find_header(path, text, meta.is_header) is None else "meta"


def _is_response(text: str) -> bool:
    first = text.lstrip().splitlines()[0]
    return first.rstrip().endswith("}") and ('"assets"' in first or '"native"' in first)


def write_ads(
    ads: Sequence[Ad],
    kind: FileKind,
    *,
    encoding: str | None = None,
    guard: bool = True,
    wanted: Sequence[openrtb.Wanted] | None = None,
) -> bytes:
    """Returns the ads as a file of this kind.

    Args:
        ads: in order.
        kind: of file.
        encoding: None for what the platform takes.
        guard: whether cells that a spreadsheet would run get an apostrophe.
        wanted: what an exchange asks for, for `openrtb-native`.

    Raises:
        AdsFileError: ads that the file cannot hold as they are; each is named, and why.
    """
    form = _FORMATS[kind]
    bad = []
    for number, ad in enumerate(ads, 1):
        why = ad.problem()
        if why is not None:
            pass
        elif kind in SHOWN_ONLY and ad.status not in ("live", "paused"):
            why = f"it is {ad.status}; where ads are booked they are live or paused"
        elif kind == "openrtb-native" and wanted is not None:
            why = openrtb.problem(ad, wanted)
        else:
            why = form.problem(ad)
        if why is not None:
            bad.append(f"creative {ad.id or number}: {why}")
    if bad:
        more = [f"and {len(bad) - MOST_TOLD} more"] if len(bad) > MOST_TOLD else []
        told = "\n".join([*bad[:MOST_TOLD], *more])
        raise AdsFileError(
            f"{len(bad)} of {len(ads)} creatives cannot be written as {kind}, and nothing was; "
            f"change them, or leave them out:\n{told}"
        )
    try:
        if kind == "openrtb-native" and wanted is not None:
            return openrtb.write(ads, encoding=encoding, wanted=wanted)
        return form.write(ads, encoding=encoding, guard=guard)
    except (UnicodeEncodeError, LookupError) as error:
        raise AdsFileError(f"cannot be written as {encoding}: {error}; take utf-8") from error
