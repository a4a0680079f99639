"""Makes the data folder that every later version must open, as a packed file named by an argument.

Make another beside it when a format changes, and keep the old one: that is what it is for.
"""

import sys
import tarfile
import tempfile
import threading
from pathlib import Path

from generator.refresh import Rotator
from streams.archive.parquet import run_archive
from streams.checkpoint import Checkpoints
from streams.events import OUTCOMES, Outcome, encode
from streams.logs.base import Message
from streams.spool import claimed_spool
from tests.faults.looping import RULE, looping, opened, traffic, until_closed, until_learned

DECIDED = 12
SPOOLED = 3
FOLDERS = ("log.db", "log.db-lock", "checkpoints", "archive", "spool")


def make(data):
    """Fills the folder: a log, an archive of it, checkpoints of its folds, and a spool."""
    with looping(data) as api:
        name = api.placement("home", **RULE, policy={"name": "thompson"})
        until_learned(api, traffic(api, name, ["e0"])[1])
        until_closed(api, ["e0"])
        until_learned(api, traffic(api, name, [f"e{n}" for n in range(1, DECIDED)])[1])
    stop = threading.Event()
    stop.set()
    with opened(data) as log:
        run_archive(log, data / "archive", stop=stop)
        rotator = Rotator(log, Checkpoints(data / "checkpoints"))
        rotator.states()
        rotator.save()
    with claimed_spool(data / "spool", 1 << 20) as spool:
        outcomes = [
            Outcome(event_id=f"e{n}", outcome_id="spooled", kind="click", timestamp_ms=1)
            for n in range(SPOOLED)
        ]
        messages = [Message(OUTCOMES, o.event_id.encode(), encode(o)) for o in outcomes]
        spool.append(messages, now_ms=1)


def main(to):
    """Writes the folder as a compressed archive."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        make(data)
        with tarfile.open(to, "w:xz") as packed:
            for name in FOLDERS:
                packed.add(data / name, name)


def unpack(packed, data):
    """Puts the recorded folder where a later version opens it."""
    with tarfile.open(packed) as recorded:
        recorded.extractall(data, filter="data")


if __name__ == "__main__":
    main(sys.argv[1])
