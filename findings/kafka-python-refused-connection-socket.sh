#!/usr/bin/env bash
# kafka-python 3.0.12 (Python 3.11): a client whose broker refuses the connection does not close
# the sockets of its attempts. Each one waits for the garbage collector, which then reports
# "ResourceWarning: unclosed <socket.socket ...>" in whatever code runs at that moment.
# Seen: one admin client, opened for two seconds for a port where nobody listens, left 4 of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q kafka-python==3.0.12
cat > "$folder/refused.py" <<'PY'
import gc
import logging
import socket
import warnings

from kafka import KafkaAdminClient, errors

logging.disable(logging.CRITICAL)
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    try:
        KafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}", request_timeout_ms=2000)
    except errors.KafkaError as error:
        print(f"refused, as it should be: {type(error).__name__}")
    gc.collect()
unclosed = [each for each in seen if "unclosed <socket" in str(each.message)]
print(f"sockets left unclosed: {len(unclosed)}")
raise SystemExit(0 if unclosed else 1)
PY
"$folder/venv/bin/python" "$folder/refused.py"
