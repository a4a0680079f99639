#!/usr/bin/env bash
# vowpal-wabbit-next 0.7.0 (VW 9.9.0, x86-64): with the default --power_t 0.5 an adaptive update
# takes its step from the processor's approximate reciprocal square root, whose low bits are left to
# the processor's maker. So weights are off by up to 1e-4 of their size, and the same examples give
# other model bytes on an AMD than on an Intel machine. With --power_t 0.4999999 they are exact.
# Seen: five weights that should all be 0.1: off by up to 1e-4 by default, by less than 1e-6 without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q vowpal-wabbit-next==0.7.0
cat > "$folder/step.py" <<'PY'
from vowpal_wabbit_next import TextFormatParser, Workspace


def worst(power_t):
    """How far off the weight is after one update of a single feature, whatever its value."""
    off = 0.0
    for value in (0.3, 0.7, 1.1, 1.9, 3.3):
        options = ["--quiet", "--noconstant", "--adaptive", "-l", "0.1", "--power_t", power_t]
        workspace = Workspace(options)
        parser = TextFormatParser(workspace)
        workspace.learn_one(parser.parse_line(f"1 | a:{value}"))
        off = max(off, abs(workspace.predict_one(parser.parse_line("| a:1")) / 0.1 - 1))
    return off


by_default, exact = worst("0.5"), worst("0.4999999")
print(f"off by {by_default:.1e} with --power_t 0.5, by {exact:.1e} with 0.4999999")
raise SystemExit(0 if by_default > 1e-5 > 1e-6 > exact else 1)
PY
"$folder/venv/bin/python" "$folder/step.py"
