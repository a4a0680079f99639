#!/usr/bin/env bash
# pyarrow 26.0.1 (Python 3.11): `ParseOptions(invalid_row_handler=...)` is not called for a row with
# too few or too many fields if the row is not UTF-8. pyarrow decodes the row's text for the handler
# first, prints "Exception ignored in ... UnicodeDecodeError" to stderr, and raises ArrowInvalid, as
# if the handler had answered "error". So a handler that skips all bad rows does not skip this one.
# Seen: with a handler that answers "skip", b"\xa1\n" in a file of two columns stops the reading.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyarrow==26.0.1
cat > "$folder/rows.py" <<'PY'
import io

from pyarrow import ArrowInvalid, csv

called = []


def skip(row):
    called.append(row.text)
    return "skip"


def read(data):
    options = csv.ParseOptions(invalid_row_handler=skip)
    return csv.read_csv(io.BytesIO(data), parse_options=options).to_pydict()


print("a short row of ASCII:", read(b"a,b\n1,2\nx\n3,4\n"), called)
called.clear()
try:
    print("a short row that is not UTF-8:", read(b"a,b\n1,2\n\xa1\n3,4\n"), called)
except ArrowInvalid as error:
    print("a short row that is not UTF-8:", type(error).__name__, called)
    raise SystemExit(0 if not called else 1) from None
raise SystemExit(1)
PY
"$folder/venv/bin/python" "$folder/rows.py"
