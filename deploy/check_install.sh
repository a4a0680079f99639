#!/usr/bin/env bash
# Installs what this repository builds into bare environments of every Python at hand, and uses it
# outside of the checkout: the wheel with `copyloop demo --light`, and the client alone.
#
#   deploy/check_install.sh [PYTHON ...]      such as python3.12; all of 3.10 to 3.14 unless named
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

works() { command -v "$1" >/dev/null && "$1" -c '' 2>/dev/null; }

pythons=("$@")
if [ ${#pythons[@]} = 0 ]; then
  for minor in 10 11 12 13 14; do
    if works "python3.$minor"; then pythons+=("python3.$minor"); else echo "python3.$minor: not here"; fi
  done
fi
[ ${#pythons[@]} -gt 0 ] || { echo "no Python from 3.10 to 3.14 is here" >&2; exit 1; }

"${pythons[-1]}" -m venv "$work/build"
"$work/build/bin/pip" wheel -q --no-deps -w "$work/wheels" "$root" "$root/deploy/client"
cd "$work"
for python in "${pythons[@]}"; do
  version=$("$python" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
  machine=$("$python" -c 'import platform; print(platform.machine())')
  "$python" -m venv "$work/client-$version"
  "$work/client-$version/bin/pip" install -q "$work"/wheels/copyloop_client-*.whl
  "$work/client-$version/bin/python" -W error -c 'import copyloop_client; copyloop_client.Client("http://localhost").close()'
  echo "Python $version on $machine: the client works"
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    began=$(date +%s)
    "$python" -m venv "$work/all-$version"
    "$work/all-$version/bin/pip" install -q "$work"/wheels/copyloop-0*.whl
    installed=$(date +%s)
    "$work/all-$version/bin/copyloop" --version
    "$work/all-$version/bin/copyloop" demo --light --learn-seconds 5 --compete-seconds 5 \
      --data "$work/demo-$version" >"$work/said" 2>&1 || { cat "$work/said"; exit 1; }
    grep -q "everything agrees" "$work/said" || { cat "$work/said"; exit 1; }
    echo "Python $version on $machine: installed in $((installed - began)) s, the loop runs"
  fi
done
