#!/usr/bin/env bash
# river 0.26.0 says "Requires-Python: >=3.11", and pip installs it on Python 3.11. There
# "from river import bandit" fails, as "from river import stream" does: river/stream/iter_csv.py
# subscripts csv.DictReader, which has been subscriptable only since Python 3.12.
# Seen: TypeError: type 'DictReader' is not subscriptable.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q river==0.26.0
"$folder/venv/bin/python" - <<'PY'
from importlib.metadata import metadata

print("Requires-Python:", metadata("river")["Requires-Python"])
try:
    from river import bandit
except TypeError as error:
    print(f"TypeError: {error}")
else:
    raise SystemExit(f"{bandit.__name__} was imported; the fault is gone")
PY
