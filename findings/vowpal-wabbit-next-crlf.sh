#!/usr/bin/env bash
# vowpal-wabbit-next 0.7.0 (Python 3.11): TextFormatReader does not take a line break of Windows
# for one. The empty line between two events becomes an action without features, so all events of
# a file are read as a single one. Vowpal Wabbit itself (vowpalwabbit 9.11.9) reads them apart.
# Seen: the same two events give examples of 2 and 2 lines with \n, and one of 5 lines with \r\n.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q vowpal-wabbit-next==0.7.0 vowpalwabbit==9.11.9
cat > "$folder/crlf.py" <<'PY'
import io
import sys
from pathlib import Path

import vowpalwabbit
from vowpal_wabbit_next import TextFormatReader, Workspace

EVENTS = "0:1:.5 |x a\n|x b\n\n|x a\n0:2:.5 |x b\n"


def lines_of_events(text):
    workspace = Workspace(["--cb_explore_adf", "--quiet"])
    with TextFormatReader(workspace, io.StringIO(text, newline="")) as reader:
        return [len(examples) for examples in reader]


def events_of_vw(text):
    folder = Path(sys.argv[1])
    (folder / "log").write_bytes(text.encode())
    arguments = f"--cb_explore_adf --quiet -d {folder}/log -p {folder}/predictions"
    vowpalwabbit.Workspace(arguments).finish()
    return len((folder / "predictions").read_text().split())


unix, windows = lines_of_events(EVENTS), lines_of_events(EVENTS.replace("\n", "\r\n"))
theirs = [events_of_vw(text) for text in (EVENTS, EVENTS.replace("\n", "\r\n"))]
print(f"lines of each event with \\n: {unix}, with \\r\\n: {windows}; events of vw: {theirs}")
raise SystemExit(0 if (unix, windows, theirs) == ([2, 2], [5], [2, 2]) else 1)
PY
"$folder/venv/bin/python" "$folder/crlf.py" "$folder"
