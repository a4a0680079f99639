"""What `copyloop up` runs: the command line of each process, and where each serves its metrics."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from bandit.service.supervisor import ProcessSpec

API: Final = "api"
UI: Final = "ui"
"""The dashboard, which knows of the log and the data folder what the API tells it."""
MEASURED: Final = ("join", "learn", "archive", "generator", "ingest")
"""Who serves metrics on the base port, the one after it, and so on; the API has its own port."""
_MODULES: Final = {
    API: ("bandit", "serve"),
    "join": ("streams", "join"),
    "learn": ("bandit", "learn"),
    "archive": ("streams", "archive"),
    "generator": ("generator", "run"),
    "teach": ("generator", "teach"),
    "ingest": ("streams", "ingest"),
    UI: ("bandit", "dashboard"),
}


class MetricsPorts(NamedTuple):
    """Where the processes serve their metrics: on ports from `base` on; 0 is any for each."""

    host: str
    base: int

    def of(self, name: str) -> list[str]:
        """Returns the options that tell the process of this name; none for the API.

        >>> MetricsPorts("127.0.0.1", 9100).of("learn")
        ['--metrics-host', '127.0.0.1', '--metrics-port', '9101']
        """
        if name not in MEASURED:
            return []
        port = self.base and self.base + MEASURED.index(name)
        return ["--metrics-host", self.host, "--metrics-port", str(port)]


def process_specs(
    place: Sequence[str], own: Mapping[str, Sequence[str]], metrics: MetricsPorts | None
) -> list[ProcessSpec]:
    """Returns the processes to run, in the order of `own`.

    Args:
        place: the options that name the log and the data folder; every process has them but the
            dashboard.
        own: by the name of each process to run, the options that it alone has.
        metrics: where they serve their metrics, if they do.
    """
    return [
        ProcessSpec(
            name,
            [
                *(sys.executable, "-m", *_MODULES[name]),
                *(() if name == UI else place),
                *options,
                *(metrics.of(name) if metrics else ()),
            ],
        )
        for name, options in own.items()
    ]
