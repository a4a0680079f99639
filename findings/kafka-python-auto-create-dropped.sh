#!/usr/bin/env bash
# kafka-python 3.0.12 (Python 3.11): allow_auto_create_topics=False reaches no request. The client
# that consumers and producers make of their options leaves it out of its cluster metadata, whose
# requests go on to say that a missing topic may be made. So a broker with
# auto.create.topics.enable makes a topic that was deleted anew, with one partition.
# Seen: the option is False, and the metadata request says allow_auto_topic_creation=True.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q kafka-python==3.0.12
cat > "$folder/metadata.py" <<'PY'
from kafka import KafkaConsumer
from kafka.net.compat import KafkaNetClient

# As KafkaConsumer makes it; nobody has to answer at this address.
options = KafkaConsumer.DEFAULT_CONFIG | {
    "bootstrap_servers": ["127.0.0.1:9"],
    "allow_auto_create_topics": False,
}
client = KafkaNetClient(**options)
asked = client.cluster.metadata_request().allow_auto_topic_creation
client.close()
print(f"the option is False; the request says allow_auto_topic_creation={asked}")
raise SystemExit(0 if asked else 1)
PY
"$folder/venv/bin/python" "$folder/metadata.py"
