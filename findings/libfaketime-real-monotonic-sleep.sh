#!/usr/bin/env bash
# libfaketime 0.9.10 (Debian 12, libfaketime 0.9.10-2.1; Python 3.11): with
# FAKETIME_DONT_FAKE_MONOTONIC=1, which is to leave the monotonic clock as it is, a sleep until a
# time of that clock fails: time.sleep, which is clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME)
# since Python 3.11, raises "OSError: [Errno 22] Invalid argument". Event.wait works.
# Without the option time.sleep works, and Event.wait(0.1) does not come back.
# Seen: "sleep: [Errno 22] Invalid argument, wait: 0.1 s" with it; "sleep: 0.1 s" and a wait that
# had to be ended after 10 s without it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq libfaketime=0.9.10-2.1
dpkg -x libfaketime_*.deb .
library=$(find . -name libfaketimeMT.so.1)
cat > sleeps.py <<'PY'
import threading
import time

started = time.monotonic()
try:
    time.sleep(0.1)
    print(f"sleep: {time.monotonic() - started:.1f} s", end="", flush=True)
except OSError as error:
    print(f"sleep: {error}", end="", flush=True)
started = time.monotonic()
threading.Event().wait(0.1)
print(f", wait: {time.monotonic() - started:.1f} s")
PY
python=$(command -v python3.11 || command -v python3)
export LD_PRELOAD=$PWD/$library FAKETIME=+1y
real=$(FAKETIME_DONT_FAKE_MONOTONIC=1 timeout 10 "$python" sleeps.py)
echo "monotonic clock as it is: $real"
faked=$(timeout 10 "$python" sleeps.py) && ended=0 || ended=$?
unset LD_PRELOAD
echo "monotonic clock faked: $faked (exit code $ended)"
[[ $real == "sleep: [Errno 22] Invalid argument, wait: 0.1 s" && $ended == 124 ]]
