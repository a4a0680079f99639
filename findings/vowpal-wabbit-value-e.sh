#!/usr/bin/env bash
# vowpalwabbit 9.11.9 (Python 3.11): a feature may have a text for its value, as in "grade:d", but
# the texts "e", "E", "e5", "-" and "." are read as the number 0, and a feature of value 0 is
# dropped. So of the grades a to f one is no feature, without a warning.
# Seen: |x grade:d has one feature, |x grade:f has one, and |x grade:e has none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q vowpalwabbit==9.11.9
cat > "$folder/grades.py" <<'PY'
import vowpalwabbit

workspace = vowpalwabbit.Workspace("--quiet --noconstant --strict_parse")
found = {}
for grade in ["a", "b", "c", "d", "e", "f", "E", "e5", "-", "."]:
    example = workspace.example(f"|x grade:{grade}")
    found[grade] = example.num_features_in("x")
    workspace.finish_example(example)
print(found)
dropped = {grade for grade, features in found.items() if features == 0}
raise SystemExit(0 if dropped == {"e", "E", "e5", "-", "."} else 1)
PY
"$folder/venv/bin/python" "$folder/grades.py"
